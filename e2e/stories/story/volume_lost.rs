//! A validator's volume is lost. Whose member key is kept elsewhere follows the chain on an empty one and
//! signs nothing; whose keys are all gone stays away. Either time the conditions say what to do, and
//! doing it brings the validator back as who it was.

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::{
    client::Client,
    federation::Federation,
    stage::{PATIENCE, Stage},
    validator::{Identity, text},
};

/// A key file whose key everybody can know: 43 times the last digit of base 58.
const DIGIT: &str = "z";

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let key = format!("{}\n", DIGIT.repeat(43));
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "dave" },
        "stringData": { "member.key": key },
    });
    stage.apply("a Secret with the member key of dave", &secret)?;
    let reference = json!({ "name": "dave", "key": "member.key" });
    let dave = json!({ "name": "dave", "memberKeySecret": reference });
    let validators = json!([{ "name": "alice" }, { "name": "bob" }, { "name": "carol" }, dave]);
    let federation = Federation::of_four(stage, json!({ "validators": validators }))?;
    let client = Client::start(&federation.service(stage)?, 2);
    client.further(20, PATIENCE)?;
    with_the_member_key_elsewhere(stage, &federation, &client)?;
    with_all_keys(stage, &federation, &client)?;
    stage.check(&federation, client)
}

fn with_the_member_key_elsewhere(
    stage: &Stage,
    federation: &Federation,
    client: &Client,
) -> anyhow::Result<()> {
    stage.say("--- dave, whose member key is in a Secret");
    let (who, volume) =
        (federation.identity(stage, "dave")?, federation.keep_volume(stage, "dave")?);
    lose(stage, federation, "dave")?;
    stage.until("dave follows on an empty volume, and signs nothing", || {
        let said = federation.status(stage, "dave")?;
        ensure!(said["voting"] == false && said["ready"] == true, "dave: {said}");
        let why = text(&said["not_voting_because"])?;
        ensure!(why.contains("registered"), "it does not vote because {why}");
        let level = federation.status(stage, "alice")?["height"].as_u64();
        let (own, level) = (said["height"].as_u64(), level.context("alice has a height")?);
        ensure!(own.is_some_and(|own| own + 5 > level), "dave is at {own:?}, alice at {level}");
        Ok(())
    })?;
    let is = federation.identity(stage, "dave")?;
    ensure!(is.consensus_key != who.consensus_key && is.chain == who.chain, "dave is {is:?}");
    advised(stage, federation, "KeysAvailable", "KeyMismatch", "fence dave")?;
    client.further(20, PATIENCE)?;

    stage.say("--- what the condition says: fence, put the volume back, unfence");
    federation.patch(stage, json!({ "fencedValidators": ["dave"] }))?;
    federation.has_no_pod(stage, "dave")?;
    federation.drop_claim(stage, "dave")?;
    federation.claim_volume(stage, "dave", &volume, &json!({}))?;
    federation.patch(stage, json!({ "fencedValidators": null }))?;
    is_itself_again(stage, federation, client, "dave", &who)
}

fn with_all_keys(stage: &Stage, federation: &Federation, client: &Client) -> anyhow::Result<()> {
    stage.say("--- carol, whose keys were all on the volume");
    let (who, volume) =
        (federation.identity(stage, "carol")?, federation.keep_volume(stage, "carol")?);
    lose(stage, federation, "carol")?;
    advised(stage, federation, "StorageHealthy", "VolumeLost", "spec.volumeName")?;
    client.further(20, PATIENCE)?;
    stage.say("--- what the condition says: a claim on the volume");
    federation.claim_volume(stage, "carol", &volume, &json!({}))?;
    is_itself_again(stage, federation, client, "carol", &who)
}

/// Takes a validator's claim away, and the pod that held it.
fn lose(stage: &Stage, federation: &Federation, validator: &str) -> anyhow::Result<()> {
    let claim = federation.claim(validator);
    let uid = stage.object("pvc", &claim)?["metadata"]["uid"].clone();
    stage.kubectl(&["delete", "pvc", &claim, "--wait=false"])?;
    advised(stage, federation, "StorageHealthy", "VolumeTerminating", "keep the pod running")?;
    stage.kubectl(&["delete", "pod", &federation.pod(validator), "--wait=false"])?;
    stage.until(&format!("the claim {claim} is gone"), || {
        let listed = stage.quietly(&["get", "pvc", "--output", "json"])?;
        let listed: Value = serde_json::from_str(&listed)?;
        let items = listed["items"].as_array().context("a list")?;
        ensure!(items.iter().all(|it| it["metadata"]["uid"] != uid), "it is there");
        Ok(())
    })
}

/// Waits until a condition is false for that reason, and says what to do.
fn advised(
    stage: &Stage,
    federation: &Federation,
    kind: &str,
    reason: &str,
    advice: &str,
) -> anyhow::Result<()> {
    let message = stage.until(&format!("{kind} is False: {reason}"), || {
        let found = federation.condition(stage, kind)?;
        ensure!(found["status"] == "False" && found["reason"] == reason, "{kind}: {found}");
        text(&found["message"])
    })?;
    stage.say(format!("  {message}"));
    ensure!(message.contains(advice), "it does not say {advice:?}");
    Ok(())
}

fn is_itself_again(
    stage: &Stage,
    federation: &Federation,
    client: &Client,
    validator: &str,
    who: &Identity,
) -> anyhow::Result<()> {
    stage.until(&format!("{validator} votes again"), || federation.votes(stage, validator))?;
    let is = federation.identity(stage, validator)?;
    ensure!(is.consensus_key == who.consensus_key, "{validator} was {who:?} and is {is:?}");
    ensure!(is.volume == who.volume, "{validator} was {who:?} and is {is:?}");
    federation.is(stage, "Ready", "True")?;
    client.further(10, PATIENCE)
}
