//! The network between nodes breaks. Whoever has a quorum decides, whoever has none stalls and says so,
//! and when the network is whole they are one chain again.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    client::Client,
    federation::{Federation, PORT_API},
    nodes::{breaks, federation_on, lives, member, three},
    stage::{PATIENCE, Stage},
};

/// Where a validator says how it is, to its own node and to the operator.
const PORT_ADMIN: &str = "9986";

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let nodes = three(stage)?;
    let federation = federation_on(stage, &nodes)?;
    let before = lives(stage, &federation)?;
    let client = Client::start(&federation.service(stage)?, 8);
    client.further(20, PATIENCE)?;

    let [first, second, third] = &nodes;
    let all = Cut { stage, federation: &federation, client: &client };
    all.decides(&["cut", first, second], |_| Ok(()))?;
    all.decides(&["cut", first, "cp"], |at| at.alice_votes_on())?;
    all.decides(&["cut", first], |at| at.alice_stalls(first))?;
    all.stalls(&["cut", third])?;
    ensure!(lives(stage, &federation)? == before, "no validator was restarted");
    stage.check(&federation, client)
}

/// Who plays while something is cut.
struct Cut<'a, 'b> {
    stage: &'a Stage<'b>,
    federation: &'a Federation,
    client: &'a Client,
}

impl Cut<'_, '_> {
    /// A cut that leaves a quorum: it decides. `look` is where to look meanwhile.
    fn decides(
        &self,
        words: &[&str],
        look: impl Fn(&Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Self { stage, federation, client } = self;
        let since = Instant::now();
        let cut = breaks(stage, words, &["heal", words[1]])?;
        client.further(40, PATIENCE).context("a quorum is left")?;
        look(self)?;
        client.further(20, PATIENCE).context("a quorum is left")?;
        let silence = client.silence(since).as_secs_f64();
        cut.mend(stage)?;
        stage.say(format!("longest silence during `{}`: {silence:.1} s", words.join(" ")));
        federation.is(stage, "Ready", "True").map(drop)
    }

    /// A cut that leaves no quorum on either side: nobody decides, and the status says so.
    fn stalls(&self, words: &[&str]) -> anyhow::Result<()> {
        let Self { stage, federation, client } = self;
        let since = Instant::now();
        let cut = breaks(stage, words, &["heal", words[1]])?;
        federation.is(stage, "Available", "False")?;
        let told = federation.condition(stage, "Available")?;
        stage.say(format!("{}: {}", told["reason"], told["message"]));
        let decided = client.further(1, Duration::from_secs(3));
        ensure!(decided.is_err(), "half of the votes decided");
        client.excuse(since);
        let since = Instant::now();
        cut.mend(stage)?;
        client.further(20, PATIENCE).context("the network is whole again")?;
        stage.say(format!(
            "longest silence after the heal: {:.1} s",
            client.silence(since).as_secs_f64()
        ));
        federation.is(stage, "Ready", "True").map(drop)
    }

    /// Kubernetes gives alice's node up, and takes her out of the Service; her peers hear her, and she them.
    fn alice_votes_on(&self) -> anyhow::Result<()> {
        let Self { stage, federation, .. } = self;
        let url = federation.address(stage, "alice")?;
        stage.until("the status does not call alice ready, and says why", || {
            let alice = member(stage, federation, "alice")?;
            let why = alice["message"].as_str().unwrap_or_default();
            ensure!(alice["ready"] != true && why.contains("is not heard of"), "{alice}");
            stage.say(format!("alice: {why}"));
            Ok(())
        })?;
        let before = height(&url)?;
        stage.until("alice's chain goes on", || {
            ensure!(height(&url)? > before, "it is at {before}");
            Ok(())
        })
    }

    /// Cut off from everybody, she decides nothing, and says so on her own node.
    fn alice_stalls(&self, node: &str) -> anyhow::Result<()> {
        let Self { stage, federation, .. } = self;
        let url = federation.address(stage, "alice")?.replace(&PORT_API.to_string(), PORT_ADMIN);
        let ask = ["exec", node, "curl", "--silent", "--max-time", "3", &format!("{url}/status")];
        stage.until("alice sees no quorum", || {
            let said: Value = serde_json::from_str(&stage.cluster.node(&ask)?)?;
            ensure!(said["quorum"] == false, "{said}");
            stage.say(format!("alice: {}", said["no_quorum_because"].as_str().unwrap_or_default()));
            Ok(())
        })
    }
}

/// How far a validator's chain has come, by its own API.
fn height(url: &str) -> anyhow::Result<u64> {
    let page = ureq::get(&format!("{url}/api/v2/blocks?limit=1"))
        .config()
        .timeout_global(Some(Duration::from_secs(3)))
        .build()
        .call()?
        .body_mut()
        .read_to_string()?;
    let page: Value = serde_json::from_str(&page)?;
    page["items"][0]["height"].as_u64().context("no block yet")
}
