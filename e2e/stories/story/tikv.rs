//! Log and state in TiKV: a store dies, PD dies, all of it is gone for a minute. The ledger stalls, says
//! so, answers no read that it cannot prove, and goes on by itself.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use crate::{
    client::Client,
    federation::Federation,
    stage::{PATIENCE, Stage},
};

/// The release of charts/cairn-tikv, in the story's namespace.
const RELEASE: &str = "tikv";

/// How long all of it is away.
const AWAY: Duration = Duration::from_secs(60);

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<()> {
    install(stage)?;
    let pd = format!("{RELEASE}-pd.{}.svc:2379", stage.namespace);
    let federation = Federation::of_four(
        stage,
        json!({
            "order": { "type": "TiKV" },
            "store": { "type": "TiKV" },
            "tikv": { "pdEndpoints": [pd], "keyPrefix": "ledger", "plaintext": true },
        }),
    )?;
    let validators = lives(stage, "cairndb.io/cluster=ledger")?;
    let volumes = volumes(stage)?;
    let client = Client::start(&federation.service(stage)?, 4);
    client.further(20, PATIENCE)?;

    let store = leading_store(stage)?;
    dies(stage, &store, "the store that leads")?;
    goes_on(stage, &client)?;
    dies(stage, &format!("{RELEASE}-pd-0"), "PD")?;
    goes_on(stage, &client)?;
    all_away(stage, &federation, &client)?;

    ensure!(lives(stage, "cairndb.io/cluster=ledger")? == validators, "a validator was restarted");
    stage.say("no validator was restarted, by nobody");
    ensure!(self::volumes(stage)? == volumes, "PD or a store has another volume than before");
    stage.say("PD and stores have the volumes that they had");
    stage.check(&federation, client)
}

/// PD and three stores by the chart: with the images of the chart on somebody's cluster, and with those of
/// test servers, that speak TiKV's protocol, on ours.
fn install(stage: &Stage) -> anyhow::Result<()> {
    let chart = ["upgrade", "--install", RELEASE, "charts/cairn-tikv", "--namespace"];
    let mut helm: Vec<&str> = [&chart[..], &[&stage.namespace]].concat();
    let ours = stage.cluster.has_our_nodes();
    if ours {
        // `make e2e` has loaded them.
        helm.extend(["--set", "pd.image=cairn.test/pd:1,tikv.image=cairn.test/tikv:1"]);
    }
    // A fresh cluster of the test servers now and then fails to form: nothing is in it yet, so again.
    for attempt in 1..=3 {
        stage.say(format!("$ helm {}", helm.join(" ")));
        stage.cluster.helm(&helm)?;
        let limit = if ours { Duration::from_secs(60) } else { PATIENCE };
        match stage.within(limit, "every region has a voter in each store", || formed(stage)) {
            Ok(()) => return Ok(()),
            Err(error) if ours && attempt < 3 => stage.say(format!("it did not form: {error:#}")),
            Err(error) => return Err(error),
        }
        stage.cluster.helm(&["uninstall", RELEASE, "--wait", "--namespace", &stage.namespace])?;
        stage.kubectl(&["delete", "pvc", "--selector", OF_TIKV])?;
    }
    bail!("it never formed")
}

/// What PD and stores are selected by.
const OF_TIKV: &str = "app.kubernetes.io/name=cairn-tikv";

/// What PD answers.
fn pd(stage: &Stage, path: &str) -> anyhow::Result<Value> {
    let pod = format!("/api/v1/namespaces/{}/pods/{RELEASE}-pd-0:2379/proxy", stage.namespace);
    Ok(serde_json::from_str(
        &stage.cluster.kubectl(&["get", "--raw", &format!("{pod}/pd/api/v1/{path}")], None)?,
    )?)
}

fn formed(stage: &Stage) -> anyhow::Result<()> {
    let answer = pd(stage, "regions")?;
    let regions = answer["regions"].as_array().context("no regions yet")?;
    ensure!(!regions.is_empty(), "no regions yet");
    for region in regions {
        let peers = region["peers"].as_array().context("no peers yet")?;
        let voters = peers.iter().filter(|peer| peer["role_name"] == "Voter").count();
        ensure!(voters == 3 && region["leader"]["id"] != json!(0), "{region}");
        ensure!(region["pending_peers"].is_null() && region["down_peers"].is_null(), "{region}");
    }
    Ok(())
}

/// The pod of the store that leads the first region.
fn leading_store(stage: &Stage) -> anyhow::Result<String> {
    let regions = pd(stage, "regions")?;
    let leader = &regions["regions"][0]["leader"]["store_id"];
    let stores = pd(stage, "stores")?;
    let stores = stores["stores"].as_array().context("no stores")?;
    let store = stores.iter().find(|it| it["store"]["id"] == *leader).context("nobody leads")?;
    let address = store["store"]["address"].as_str().context("it has no address")?;
    Ok(address.split('.').next().unwrap_or_default().to_owned())
}

/// Deletes a pod, and waits for its successor to serve.
fn dies(stage: &Stage, pod: &str, who: &str) -> anyhow::Result<()> {
    let before = stage.object("pod", pod)?["metadata"]["uid"].clone();
    stage.kubectl(&["delete", "pod", pod, "--grace-period=1", "--wait=false"])?;
    stage.until(&format!("{who} is back"), || {
        let pod = stage.object("pod", pod)?;
        ensure!(pod["metadata"]["uid"] != before, "the old one is still there");
        let conditions = pod["status"]["conditions"].as_array().context("no conditions yet")?;
        let ready = |it: &Value| it["type"] == "Ready" && it["status"] == "True";
        ensure!(conditions.iter().any(ready), "not ready yet");
        Ok(())
    })
}

fn goes_on(stage: &Stage, client: &Client) -> anyhow::Result<()> {
    let begun = Instant::now();
    client.further(20, PATIENCE)?;
    stage.say(format!("20 more transactions in {:.1} s", begun.elapsed().as_secs_f64()));
    Ok(())
}

/// PD and all stores are scaled away for a minute, and come back.
fn all_away(stage: &Stage, federation: &Federation, client: &Client) -> anyhow::Result<()> {
    // The last acknowledged may not be on every validator yet; this one is.
    let read = client.latest().context("nothing was acknowledged")?;
    stage.until("a committed transaction can be read from every validator", || {
        for validator in &federation.validators {
            let status = read_of(&federation.address(stage, validator)?, &read)?;
            ensure!(status == 200, "{validator} answers {status}");
        }
        Ok(())
    })?;
    let sets = [format!("sts/{RELEASE}-pd"), format!("sts/{RELEASE}-tikv")];
    stage.kubectl(&["scale", &sets[0], &sets[1], "--replicas=0"])?;
    let begun = Instant::now();
    stage.until("PD and stores are gone", || {
        let left = stage.quietly(&["get", "pods", "--selector", OF_TIKV, "-o", "name"])?;
        ensure!(left.is_empty(), "still there: {left}");
        Ok(())
    })?;
    // A client that had no answer asks again, and is told of what was decided before.
    let (gone, stood) = (Instant::now(), highest(stage, federation)?);
    for (condition, status) in
        [("Available", "False"), ("Ready", "False"), ("QuorumAtRisk", "True")]
    {
        stage.until(&format!("{condition} is {status}: the store cannot be reached"), || {
            let found = federation.condition(stage, condition)?;
            let message = found["message"].as_str().unwrap_or_default();
            ensure!(found["status"] == status && found["reason"] == "NoQuorum", "{found}");
            ensure!(message.starts_with("the store cannot be reached"), "{found}");
            Ok(())
        })?;
    }
    stage.say(stage.quietly(&["get", "bcc"])?.trim().replace('\n', "\n         "));
    let (mut told, mut owned_up) = (0_usize, 0_usize);
    while begun.elapsed() < AWAY {
        for validator in &federation.validators {
            let url = federation.address(stage, validator)?;
            match read_of(&url, &read)? {
                200 => told += 1,
                503 => owned_up += 1,
                other => bail!("{validator} answers {other} to a read of what it committed"),
            }
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let meanwhile = client.since(gone);
    stage.say(format!(
        "{} s later: {told} reads of a committed transaction were answered, {owned_up} with 503, none with \
         \"not found\"; {} were acknowledged meanwhile",
        begun.elapsed().as_secs(),
        meanwhile.len(),
    ));
    let stands = highest(stage, federation)?;
    ensure!(stands == stood, "block {stands} was stored without a store, after block {stood}");
    stage.kubectl(&["scale", &sets[0], "--replicas=1"])?;
    stage.kubectl(&["scale", &sets[1], "--replicas=3"])?;
    federation.is(stage, "Ready", "True")?;
    for id in meanwhile {
        let url = federation.address(stage, &federation.validators[0])?;
        let report = answer(&format!("{url}/api/v2/transactions/{id}"))?;
        let height = report["height"].as_u64().with_context(|| format!("{id}: {report}"))?;
        ensure!(height <= stood, "{id} was acknowledged without a log, in block {height}");
    }
    goes_on(stage, client)
}

/// The highest block that any validator has, by their own word.
fn highest(stage: &Stage, federation: &Federation) -> anyhow::Result<u64> {
    let mut highest = 0;
    for validator in &federation.validators {
        let url = federation.address(stage, validator)?;
        let status = answer(&format!("{url}/api/v2/status"))?;
        let height = status["height"].as_u64().with_context(|| format!("{validator}: {status}"))?;
        highest = highest.max(height);
    }
    Ok(highest)
}

/// What a validator answers, whatever it is.
fn answer(url: &str) -> anyhow::Result<Value> {
    let answer = ureq::get(url)
        .config()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .call();
    let text = answer.with_context(|| url.to_owned())?.body_mut().read_to_string()?;
    serde_json::from_str(&text).with_context(|| format!("{url}: {text}"))
}

/// The status that a validator gives to a read of a transaction.
fn read_of(url: &str, id: &str) -> anyhow::Result<u16> {
    let answer = ureq::get(format!("{url}/api/v1/transactions/{id}"))
        .config()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .call();
    Ok(answer.with_context(|| format!("reading {id} from {url}"))?.status().as_u16())
}

/// Each pod's identity and how often its containers were restarted.
fn lives(stage: &Stage, selector: &str) -> anyhow::Result<String> {
    let each = "-o=jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} \
                {.status.containerStatuses[*].restartCount}{\"\\n\"}{end}";
    stage.quietly(&["get", "pods", "--selector", selector, each])
}

/// The volume of each claim of PD and stores.
fn volumes(stage: &Stage) -> anyhow::Result<String> {
    let each = "-o=jsonpath={range .items[*]}{.metadata.name} {.spec.volumeName}{\"\\n\"}{end}";
    let volumes = stage.quietly(&["get", "pvc", "--selector", OF_TIKV, each])?;
    ensure!(volumes.lines().count() == 4, "PD and three stores have a volume each: {volumes}");
    Ok(volumes)
}
