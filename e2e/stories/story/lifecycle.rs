//! What people do with a federation in its life: grow, pause, fence, suspend, delete, make again. And
//! a volume of another chain that comes under its name.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::{
    client::{Client, Seen},
    federation::Federation,
    stage::{PATIENCE, Stage},
    validator::text,
};

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let federation = Federation::of_four(stage, json!({}))?;
    let client = Client::start(&federation.service(stage)?, 2);
    client.further(20, PATIENCE)?;
    pause_and_grow(stage, &federation)?;
    fence(stage, &federation, &client)?;
    let mut seen = Seen::default();
    let mut longest = client.rests(&mut seen);

    suspend_and_resume(stage, &federation)?;
    let client = Client::start(&federation.service(stage)?, 2);
    client.further(20, PATIENCE)?;
    longest = longest.max(client.rests(&mut seen));

    delete_and_make_again(stage, &federation)?;
    let client = Client::start(&federation.service(stage)?, 2);
    client.further(20, PATIENCE)?;
    foreign_volume(stage, &federation, &client)?;
    longest = longest.max(client.rests(&mut seen));
    stage.check_seen(&federation, &seen, longest)?;
    delete_for_good(stage, &federation)
}

/// A larger volume, asked for while the operator is told to change nothing, and once it may.
fn pause_and_grow(stage: &Stage, federation: &Federation) -> anyhow::Result<()> {
    stage.say("--- pause, and larger volumes");
    let runs = runs(stage, federation)?;
    let larger = json!({ "paused": true, "storage": { "data": { "size": "2Gi" } } });
    federation.patch(stage, larger)?;
    federation.is(stage, "ReconciliationPaused", "True")?;
    ensure!(sizes(stage, federation)?.iter().all(|size| size == "1Gi"), "it grew while paused");
    federation.patch(stage, json!({ "paused": false }))?;
    stage.until("every volume has 2Gi", || {
        let sizes = sizes(stage, federation)?;
        ensure!(sizes.iter().all(|size| size == "2Gi"), "they have {sizes:?}");
        Ok(())
    })?;
    federation.is(stage, "Ready", "True")?;
    ensure!(self::runs(stage, federation)? == runs, "a validator was restarted");
    Ok(())
}

fn sizes(stage: &Stage, federation: &Federation) -> anyhow::Result<Vec<String>> {
    let size = |validator: &String| {
        let claim = stage.object("pvc", &federation.claim(validator))?;
        text(&claim["status"]["capacity"]["storage"])
    };
    federation.validators.iter().map(size).collect()
}

fn runs(stage: &Stage, federation: &Federation) -> anyhow::Result<Vec<(String, u64)>> {
    federation.validators.iter().map(|validator| federation.run(stage, validator)).collect()
}

fn fence(stage: &Stage, federation: &Federation, client: &Client) -> anyhow::Result<()> {
    stage.say("--- fence bob, and unfence him");
    let who = federation.identity(stage, "bob")?;
    federation.patch(stage, json!({ "fencedValidators": ["bob"] }))?;
    federation.has_no_pod(stage, "bob")?;
    stage.until("the status calls bob fenced", || {
        let object = stage.object("bcc", &federation.name)?;
        let members = object["status"]["members"].as_array().context("no members yet")?;
        let bob = members.iter().find(|it| it["name"] == "bob").context("no bob")?;
        ensure!(bob["role"] == "Fenced", "{bob}");
        Ok(())
    })?;
    client.further(20, PATIENCE)?;
    federation.patch(stage, json!({ "fencedValidators": null }))?;
    stage.until("bob votes again", || federation.votes(stage, "bob"))?;
    ensure!(federation.identity(stage, "bob")? == who, "bob is another");
    federation.is(stage, "Ready", "True").map(drop)
}

fn suspend_and_resume(stage: &Stage, federation: &Federation) -> anyhow::Result<()> {
    stage.say("--- suspend, and resume");
    let who = federation.identity(stage, "alice")?;
    federation.patch(stage, json!({ "suspend": true }))?;
    federation.is(stage, "Suspended", "True")?;
    for validator in &federation.validators {
        federation.has_no_pod(stage, validator)?;
        stage.object("pvc", &federation.claim(validator))?;
    }
    federation.patch(stage, json!({ "suspend": false }))?;
    federation.is(stage, "Ready", "True")?;
    ensure!(federation.identity(stage, "alice")? == who, "alice is another");
    Ok(())
}

/// What the object leaves behind is taken over by the next one of its name.
fn delete_and_make_again(stage: &Stage, federation: &Federation) -> anyhow::Result<()> {
    stage.say("--- delete, and make again on what stays");
    let before: Vec<_> = identities(stage, federation)?;
    let height = federation.status(stage, "alice")?["height"].as_u64();
    stage.kubectl(&["delete", "bcc", &federation.name])?;
    for validator in &federation.validators {
        federation.has_no_pod(stage, validator)?;
        stage.object("pvc", &federation.claim(validator))?;
    }
    stage.object("configmap", &format!("{}-genesis", federation.name))?;
    let again = Federation::of_four(stage, json!({ "storage": { "data": { "size": "2Gi" } } }))?;
    ensure!(identities(stage, &again)? == before, "it is another federation");
    let now = again.status(stage, "alice")?["height"].as_u64();
    ensure!(now >= height && height > Some(0), "from height {height:?} to {now:?}");
    Ok(())
}

fn identities(
    stage: &Stage,
    federation: &Federation,
) -> anyhow::Result<Vec<crate::validator::Identity>> {
    federation.validators.iter().map(|validator| federation.identity(stage, validator)).collect()
}

/// Refused by its label, and by what is on it when the label says nothing.
fn foreign_volume(stage: &Stage, federation: &Federation, client: &Client) -> anyhow::Result<()> {
    stage.say("--- a volume of another chain comes under dave's name");
    let other = Federation::of(stage, "other", &["zoe"], json!({}))?;
    let chain = text(&other.status(stage, "zoe")?["chain_id"])?;
    let foreign = other.keep_volume(stage, "zoe")?;
    stage.kubectl(&["delete", "bcc", &other.name])?;
    other.has_no_pod(stage, "zoe")?;
    other.drop_claim(stage, "zoe")?;

    let who = federation.identity(stage, "dave")?;
    let own = federation.keep_volume(stage, "dave")?;
    federation.patch(stage, json!({ "fencedValidators": ["dave"] }))?;
    federation.has_no_pod(stage, "dave")?;
    federation.drop_claim(stage, "dave")?;
    let label = json!({ "cairndb.io/chain": &chain[..63] });
    federation.claim_volume(stage, "dave", &foreign, &label)?;
    federation.patch(stage, json!({ "fencedValidators": null }))?;
    refused(stage, federation, "belongs to the chain")?;
    federation.has_no_pod(stage, "dave")?;
    client.further(10, PATIENCE)?;

    stage.kubectl(&["label", "pvc", &federation.claim("dave"), "cairndb.io/chain-"])?;
    refused(stage, federation, "dave: ")?;
    ensure!(federation.votes(stage, "dave").is_err(), "dave votes on a foreign volume");
    client.further(10, PATIENCE)?;

    federation.patch(stage, json!({ "fencedValidators": ["dave"] }))?;
    federation.has_no_pod(stage, "dave")?;
    federation.drop_claim(stage, "dave")?;
    federation.claim_volume(stage, "dave", &own, &json!({}))?;
    federation.patch(stage, json!({ "fencedValidators": null }))?;
    stage.until("dave votes again", || federation.votes(stage, "dave"))?;
    ensure!(federation.identity(stage, "dave")?.consensus_key == who.consensus_key, "another dave");
    federation.is(stage, "Ready", "True").map(drop)
}

fn refused(stage: &Stage, federation: &Federation, words: &str) -> anyhow::Result<()> {
    let message = stage.until("StorageHealthy is False: VolumeForeignChain", || {
        let found = federation.condition(stage, "StorageHealthy")?;
        ensure!(found["reason"] == "VolumeForeignChain", "StorageHealthy: {found}");
        let message = text(&found["message"])?;
        ensure!(message.contains(words), "it says {message}");
        Ok(message)
    })?;
    stage.say(format!("  {message}"));
    Ok(())
}

/// With `whenDeleted: Delete`, nothing stays.
fn delete_for_good(stage: &Stage, federation: &Federation) -> anyhow::Result<()> {
    stage.say("--- delete, and leave nothing");
    federation.patch(stage, json!({ "storage": { "retention": { "whenDeleted": "Delete" } } }))?;
    federation.is(stage, "Ready", "True")?;
    stage.kubectl(&["delete", "bcc", &federation.name])?;
    let kinds = "pods,statefulsets,services,configmaps,persistentvolumeclaims,\
                 poddisruptionbudgets,networkpolicies,serviceaccounts";
    let of_it = |object: &Value| {
        object["metadata"]["labels"]["cairndb.io/cluster"] == federation.name.as_str()
    };
    stage.within(Duration::from_secs(120), "nothing of it is there any more", || {
        let all: Value =
            serde_json::from_str(&stage.quietly(&["get", kinds, "--output", "json"])?)?;
        let items = all["items"].as_array().context("a list")?;
        let left: Vec<_> = items
            .iter()
            .filter(|object| of_it(object))
            .map(|object| format!("{} {}", object["kind"], object["metadata"]["name"]))
            .collect();
        ensure!(left.is_empty(), "there are {left:?}");
        Ok(())
    })
}
