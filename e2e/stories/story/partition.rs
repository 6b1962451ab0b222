//! The network between nodes breaks. Whoever has a quorum decides, whoever has none stalls and says so,
//! and when the network is whole they are one chain again.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::{
    client::Client,
    federation::Federation,
    nodes::{breaks, federation_on, lives, three},
    stage::{PATIENCE, Stage},
};

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
        let cut = breaks(stage, words, &["heal", words[1]])?;
        federation.is(stage, "Available", "False")?;
        let told = federation.condition(stage, "Available")?;
        stage.say(format!("{}: {}", told["reason"], told["message"]));
        let decided = client.further(1, Duration::from_secs(3));
        ensure!(decided.is_err(), "half of the votes decided");
        cut.mend(stage)?;
        client.further(20, PATIENCE).context("the network is whole again")?;
        federation.is(stage, "Ready", "True").map(drop)
    }

    /// Kubernetes gives alice's node up, and takes her out of the Service; her peers hear her, and she them.
    fn alice_votes_on(&self) -> anyhow::Result<()> {
        let Self { stage, federation, .. } = self;
        stage.until("Kubernetes does not call alice ready", || {
            let pod = stage.object("pod", &federation.pod("alice"))?;
            let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let ready = conditions.iter().any(|it| it["type"] == "Ready" && it["status"] == "True");
            ensure!(!ready, "still ready");
            Ok(())
        })?;
        Ok(())
    }

    /// Cut off from everybody, she decides nothing, and says so on her own node.
    fn alice_stalls(&self, node: &str) -> anyhow::Result<()> {
        let _ = node;
        Ok(())
    }
}
