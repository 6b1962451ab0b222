//! Watching a change reach the validators: who is replaced when, and that never two are away at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::{federation::Federation, stage::Stage};

/// Four validators, each of which is stopped, started and waited for, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A validator's pod, as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    /// The pod is another one when this is.
    pub(crate) uid: String,
    /// What it was told to run.
    pub(crate) image: String,
    /// Whether it is there to stay, and serves.
    pub(crate) ready: bool,
    /// How often its container was started again.
    pub(crate) restarts: u64,
}

/// What became of the validators since it began to look.
pub(crate) struct Rollout {
    before: BTreeMap<String, Pod>,
    /// Who was replaced, in that order; a name twice is a validator that was replaced twice.
    replaced: Vec<String>,
    last: BTreeMap<String, String>,
    /// Who led the log while two or more were still to be replaced, as far as the status knew.
    leaders: BTreeSet<String>,
}

impl Rollout {
    /// Remembers the pods as they are: all there, all ready.
    pub(crate) fn begin(stage: &Stage, federation: &Federation) -> anyhow::Result<Self> {
        let before = stage.until("every validator serves", || {
            let pods = pods(stage, federation)?;
            let away: Vec<_> = pods.iter().filter(|(_, pod)| !pod.ready).collect();
            ensure!(pods.len() == federation.validators.len() && away.is_empty(), "{away:?}");
            Ok(pods)
        })?;
        let last = before.iter().map(|(name, pod)| (name.clone(), pod.uid.clone())).collect();
        Ok(Self { before, replaced: vec![], last, leaders: BTreeSet::new() })
    }

    /// Waits until something holds, and looks all the time at who is away.
    ///
    /// # Errors
    ///
    /// At once when two validators are away: then nobody decides.
    pub(crate) fn until(
        &mut self,
        stage: &Stage,
        federation: &Federation,
        what: &str,
        mut done: impl FnMut(&Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut look = || {
            self.look(stage, federation)?;
            done(self).map(|()| Ok(()))
        };
        stage.within(PATIENCE, what, || match look() {
            Err(error) if error.is::<TwoAway>() => Ok(Err(error)),
            other => other,
        })?
    }

    /// Waits until the operator has nothing left to do.
    pub(crate) fn until_settled(
        &mut self,
        stage: &Stage,
        federation: &Federation,
    ) -> anyhow::Result<()> {
        self.until(stage, federation, "the operator has nothing left to do", |_| {
            let ready = federation.condition(stage, "Ready")?;
            ensure!(ready["status"] == "True", "{ready}");
            Ok(())
        })
    }

    /// Waits until the update stopped at a validator; what it says of it.
    pub(crate) fn until_halted(
        &mut self,
        stage: &Stage,
        federation: &Federation,
    ) -> anyhow::Result<String> {
        let mut said = String::new();
        self.until(stage, federation, "the update halts", |_| {
            let progressing = federation.condition(stage, "Progressing")?;
            ensure!(progressing["reason"] == "UpdateHalted", "{progressing}");
            said = progressing["message"].as_str().unwrap_or_default().to_owned();
            Ok(())
        })?;
        stage.say(format!("it says: {said}"));
        Ok(said)
    }

    /// Who was replaced so far, in that order.
    pub(crate) fn replaced(&self) -> &[String] {
        &self.replaced
    }

    /// Every validator was replaced once, and the one that led the log came last.
    pub(crate) fn replaced_each_once(&self, stage: &Stage) -> anyhow::Result<()> {
        let each: BTreeSet<_> = self.replaced.iter().collect();
        ensure!(
            each.len() == self.before.len() && each.len() == self.replaced.len(),
            "each was to be replaced once: {:?}",
            self.replaced
        );
        let order = self.replaced.join(", ");
        let mut leaders = self.leaders.iter();
        if let (Some(leader), None) = (leaders.next(), leaders.next()) {
            ensure!(
                self.replaced.last() == Some(leader),
                "{leader} led, and was not last: {order}"
            );
            stage.say(format!("replaced one at a time: {order}; {leader}, who led, last"));
        } else {
            // Elections come by themselves on a busy machine: then nobody can say who was to be last.
            stage.say(format!("replaced one at a time: {order}; {:?} led", self.leaders));
        }
        Ok(())
    }

    /// Nobody was replaced or started again.
    pub(crate) fn nobody_restarted(
        &self,
        stage: &Stage,
        federation: &Federation,
    ) -> anyhow::Result<()> {
        let now = pods(stage, federation)?;
        for (validator, was) in &self.before {
            let is = now.get(validator).with_context(|| format!("{validator} has no pod"))?;
            ensure!(
                (&is.uid, is.restarts) == (&was.uid, was.restarts),
                "{validator} was restarted: {was:?} is {is:?}"
            );
        }
        stage.say("no validator was restarted");
        Ok(())
    }

    fn look(&mut self, stage: &Stage, federation: &Federation) -> anyhow::Result<()> {
        let object = stage.object("bcc", &federation.name)?;
        let pods = pods(stage, federation)?;
        let serves = |name: &&String| pods.get(*name).is_some_and(|pod| pod.ready);
        let away: Vec<_> = federation.validators.iter().filter(|name| !serves(name)).collect();
        if away.len() > 1 {
            bail!(TwoAway(format!("{away:?}")));
        }
        if let Some(leader) = object["status"]["leader"].as_str()
            && self.replaced.len() + 1 < self.before.len()
        {
            self.leaders.insert(leader.to_owned());
        }
        for (validator, pod) in pods {
            if self.last.get(&validator) != Some(&pod.uid) {
                stage.say(format!("{validator} is replaced, and runs {}", pod.image));
                self.last.insert(validator.clone(), pod.uid);
                self.replaced.push(validator);
            }
        }
        Ok(())
    }
}

/// More are away than the federation can do without.
#[derive(Debug, thiserror::Error)]
#[error("more than one validator is away: {0}")]
struct TwoAway(String);

/// The validators' pods that are there, by validator.
pub(crate) fn pods(
    stage: &Stage,
    federation: &Federation,
) -> anyhow::Result<BTreeMap<String, Pod>> {
    let of = format!("cairndb.io/cluster={}", federation.name);
    let listed = stage.quietly(&["get", "pods", "--selector", &of, "-o", "json"])?;
    let listed: Value = serde_json::from_str(&listed)?;
    let items = listed["items"].as_array().context("a list has items")?;
    items.iter().map(|pod| Ok((validator_of(pod)?, read(pod)?))).collect()
}

fn validator_of(pod: &Value) -> anyhow::Result<String> {
    let validator = pod["metadata"]["labels"]["cairndb.io/validator"].as_str();
    Ok(validator.context("a pod is some validator's")?.to_owned())
}

fn read(pod: &Value) -> anyhow::Result<Pod> {
    let conditions = pod["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let is_ready = conditions.iter().any(|it| it["type"] == "Ready" && it["status"] == "True");
    Ok(Pod {
        uid: pod["metadata"]["uid"].as_str().context("a pod has a uid")?.to_owned(),
        image: pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned(),
        ready: is_ready && pod["metadata"]["deletionTimestamp"].is_null(),
        restarts: pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0),
    })
}
