//! What one validator is like: the words of its pod and its own words together. Pure; `plan` and `report`
//! read the same answer here, so that nobody is changed for a reason that nobody was told.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};

use crate::observe::{NodeReport, Observed};

/// The container of a validator's pod that is the validator.
const CONTAINER: &str = "cairn";
/// Words of others are kept to so many characters in a status.
const WORDS_MAX: usize = 300;

/// One validator, as far as anybody knows.
#[derive(Clone, Copy, Debug)]
pub struct Health<'a> {
    /// Its pod, if there is one.
    pub pod: Option<&'a Pod>,
    /// What it said, or why it could not be asked; nothing without a pod to ask.
    pub said: Option<&'a Result<NodeReport, String>>,
}

/// Why a validator does not run, as its pod has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// CamelCase, for a condition.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
}

impl<'a> Health<'a> {
    /// That of the validator with this name.
    #[must_use]
    pub fn of(observed: &'a Observed, validator: &str) -> Self {
        Self { pod: observed.pods.get(validator), said: observed.nodes.get(validator) }
    }

    /// What it says of itself, if it could be asked.
    #[must_use]
    pub fn report(&self) -> Option<&'a NodeReport> {
        self.said.and_then(|said| said.as_ref().ok())
    }

    /// Whether its pod is there to stay and ready, and it says itself that it serves.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.pod_is_ready() && self.report().is_some_and(|report| report.ready)
    }

    /// Whether it may sign, and sees enough others to decide with.
    #[must_use]
    pub fn votes(&self) -> bool {
        let says = |report: &NodeReport| report.voting && report.quorum;
        !self.is_leaving() && self.report().is_some_and(says)
    }

    /// Whether its vote is certainly not cast: no container of it runs, or it says so itself.
    #[must_use]
    pub fn is_certainly_silent(&self) -> bool {
        !self.runs() || self.report().is_some_and(|report| !report.voting)
    }

    /// Whether its container runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.state().is_some_and(|state| state.running.is_some())
    }

    /// Whether its pod is being deleted.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some())
    }

    /// Its pod's uid.
    #[must_use]
    pub fn pod_uid(&self) -> Option<&'a str> {
        self.pod.and_then(|pod| pod.metadata.uid.as_deref())
    }

    /// Since when its pod is there.
    #[must_use]
    pub fn pod_since(&self) -> Option<Timestamp> {
        Some(self.pod?.metadata.creation_timestamp.as_ref()?.0)
    }

    /// Why it does not run, when its pod knows. Nothing while it is only starting.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        if self.pod_is_ready() {
            return None;
        }
        let container = self.container();
        let state = container.and_then(|container| container.state.as_ref());
        let last = container.and_then(|container| container.last_state.as_ref());
        let ended = |state: Option<&'a ContainerState>| state.and_then(|s| s.terminated.as_ref());
        let waiting = state.and_then(|state| state.waiting.as_ref());
        if let Some(waiting) = waiting
            && let Some(reason) = waiting.reason.as_deref().and_then(reason_of_waiting)
        {
            let words = waiting.message.as_deref().unwrap_or("it does not say why");
            return Some(Fault { reason, message: one_line(&of_the_last_attempt(words)) });
        }
        if let Some(ended) = ended(state).or_else(|| ended(last)).filter(|e| e.exit_code != 0) {
            return Some(fault_of_exit(ended));
        }
        self.unscheduled()
    }

    /// Why it is not ready, in one sentence.
    #[must_use]
    pub fn why_not_ready(&self) -> String {
        if let Some(fault) = self.fault() {
            return format!("{}: {}", fault.reason, fault.message);
        }
        if let Some(node) = self.silent_node() {
            return match self.said {
                Some(Ok(_)) => format!("its node {node} is not heard of by Kubernetes; it answers"),
                _ => format!("its node {node} is not heard of"),
            };
        }
        match (self.pod, self.said) {
            (None, _) => "it has no pod".into(),
            (Some(_), _) if self.is_leaving() => "its pod is being stopped".into(),
            (Some(_), None) => "its pod has no address yet".into(),
            (Some(_), Some(Err(why))) => format!("it could not be asked: {}", one_line(why)),
            (Some(_), Some(Ok(report))) if !report.ready => report
                .not_ready_because
                .as_deref()
                .map_or_else(|| "it does not say why".into(), without_numbers),
            (Some(_), Some(Ok(_))) => "its pod is not ready yet".into(),
        }
    }

    /// Whether it serves as far as its kubelet knows, and could not be asked itself.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.pod_is_ready() && matches!(self.said, Some(Err(_)))
    }

    fn pod_is_ready(&self) -> bool {
        let conditions = self.pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref());
        let ready =
            |c: &k8s_openapi::api::core::v1::PodCondition| c.type_ == "Ready" && c.status == "True";
        !self.is_leaving() && conditions.is_some_and(|conditions| conditions.iter().any(ready))
    }

    /// The node it is on, when Kubernetes has lost sight of that: it then takes the pod for not ready, without
    /// a reason, and the words of the node's kubelet stay as they were.
    fn silent_node(&self) -> Option<&'a str> {
        let conditions = self.pod?.status.as_ref()?.conditions.as_ref()?;
        let find = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind);
        let (ready, containers) = (find("Ready")?, find("ContainersReady")?);
        let given_up = ready.status != "True" && ready.reason.as_deref().unwrap_or("").is_empty();
        (given_up && containers.status == "True").then(|| self.node())?
    }

    /// The node it is on.
    #[must_use]
    pub fn node(&self) -> Option<&'a str> {
        self.pod?.spec.as_ref()?.node_name.as_deref()
    }

    fn container(&self) -> Option<&'a ContainerStatus> {
        let statuses = self.pod?.status.as_ref()?.container_statuses.as_ref()?;
        statuses.iter().find(|status| status.name == CONTAINER)
    }

    fn state(&self) -> Option<&'a ContainerState> {
        self.container()?.state.as_ref()
    }

    fn unscheduled(&self) -> Option<Fault> {
        let conditions = self.pod?.status.as_ref()?.conditions.as_ref()?;
        let unscheduled = conditions.iter().find(|condition| {
            condition.type_ == "PodScheduled"
                && condition.status == "False"
                && condition.reason.as_deref() == Some("Unschedulable")
        })?;
        let words = unscheduled.message.as_deref().unwrap_or("the scheduler does not say why");
        Some(Fault { reason: "Unschedulable", message: one_line(words) })
    }
}

/// Who leads the log. Two who both believe so, for a moment, are nobody.
#[must_use]
pub fn leader(observed: &Observed) -> Option<&str> {
    let leads = |said: &Result<NodeReport, String>| said.as_ref().is_ok_and(|said| said.leads);
    let mut leaders = observed.nodes.iter().filter(|(_, said)| leads(said));
    let leader = leaders.next().filter(|_| leaders.next().is_none());
    leader.map(|(name, _)| name.as_str())
}

/// How many blocks a validator is behind the best that anybody has seen.
#[must_use]
pub fn blocks_behind(observed: &Observed, report: &NodeReport) -> u64 {
    let reports = observed.nodes.values().filter_map(|said| said.as_ref().ok());
    let best = reports.map(|report| report.height.max(report.best_peer)).max().unwrap_or(0);
    best.saturating_sub(report.height)
}

/// What the kubelet waits for, when it is not just a matter of time.
fn reason_of_waiting(reason: &str) -> Option<&'static str> {
    match reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "RegistryUnavailable" => Some("ImagePullFailed"),
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            Some("ContainerNotCreated")
        }
        _ => None,
    }
}

/// Why an image could not be fetched, without what changes from one attempt to the next: a status that
/// did would be written again with each.
fn of_the_last_attempt(words: &str) -> String {
    // Between two attempts the kubelet says that it waits, and then what the last one came to.
    let attempt = words.strip_prefix("Back-off pulling image ");
    let attempt = attempt.and_then(|waits| waits.split_once(": ErrImagePull: "));
    let why = attempt.map_or(words, |(_, why)| why);
    // Both ends of a connection are named, and this one has another port each time.
    let without_port = |word: &str| {
        let (here, there) = word.split_once("->")?;
        Some(format!("{}->{there}", here.rsplit_once(':')?.0))
    };
    let words = why.split_whitespace();
    let words = words.map(|word| without_port(word).unwrap_or_else(|| word.to_owned()));
    words.collect::<Vec<_>>().join(" ")
}

/// The exit codes of `cairn node`, which docs/cli.md promises to keep.
fn fault_of_exit(ended: &ContainerStateTerminated) -> Fault {
    let reason = match ended.exit_code {
        // 2 is a flag or a variable that makes no sense, 10 a line of the file.
        2 | 10 => "ConfigRejected",
        11 => "GenesisMismatch",
        12 => "VolumeForeignChain",
        14 => "DiskFull",
        15 => "StoreCorrupt",
        16 => "FormatTooNew",
        17 => "StorageFailed",
        18 => "KeyMismatch",
        19 => "SignStateLocked",
        20 => "SafetyViolated",
        _ if ended.reason.as_deref() == Some("OOMKilled") => "OutOfMemory",
        _ => "Crashed",
    };
    let said = ended.message.as_deref().unwrap_or_default().trim_end();
    let words = match complaint(said).or_else(|| said.lines().last()) {
        Some(words) if !words.is_empty() => one_line(words),
        _ => format!("it ended with code {}", ended.exit_code),
    };
    Fault { reason, message: words }
}

/// What is wrong with a command line: what comes after it only says where help is.
fn complaint(said: &str) -> Option<&str> {
    said.split("\n\n").find_map(|paragraph| paragraph.strip_prefix("error: "))
}

/// Somebody else's words, short enough for a status and on one line. Of a long chain of causes the first
/// says what was tried, and the last what is wrong: the middle goes.
#[must_use]
pub fn one_line(words: &str) -> String {
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = words.trim_end_matches('.').to_owned();
    let length = words.chars().count();
    if length <= WORDS_MAX {
        return words;
    }
    let begin = WORDS_MAX / 3;
    let end = length - (WORDS_MAX - begin - 1);
    words.chars().take(begin).chain(['…']).chain(words.chars().skip(end)).collect()
}

/// A status that names a height would be written again with every block.
fn without_numbers(words: &str) -> String {
    let words: Vec<_> =
        words.split_whitespace().filter(|word| word.parse::<u64>().is_err()).collect();
    one_line(&words.join(" "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_does_not_answer_on_a_node_that_is_gone_is_said_to_be_on_it() {
        let pod = |containers: &str, reason: Option<&str>| -> Pod {
            let conditions = json!([
                { "type": "Ready", "status": "False", "reason": reason },
                { "type": "ContainersReady", "status": containers },
            ]);
            let pod = json!({ "spec": { "nodeName": "n1", "containers": [] }, "status": { "conditions": conditions } });
            serde_json::from_value(pod).unwrap()
        };
        let silent = Err("no route to host".to_owned());
        let answers = Ok(NodeReport { ready: true, ..NodeReport::default() });
        let table = [
            (pod("True", None), &silent, "its node n1 is not heard of"),
            (pod("True", None), &answers, "its node n1 is not heard of by Kubernetes; it answers"),
            (pod("False", None), &answers, "its pod is not ready yet"),
            (
                pod("False", Some("ContainersNotReady")),
                &silent,
                "it could not be asked: no route to host",
            ),
            (pod("True", Some("ReadinessGatesNotReady")), &answers, "its pod is not ready yet"),
        ];
        for (pod, said, words) in &table {
            let health = Health { pod: Some(pod), said: Some(said) };
            assert_eq!(health.why_not_ready(), *words);
        }
    }

    #[test]
    fn a_pull_that_fails_again_and_again_says_the_same_again() {
        let because = |port: &str| {
            format!(
                r#"failed to resolve reference "r/c:1": dial tcp: lookup r on 10.0.0.53:53: read udp 10.0.0.1:{port}->10.0.0.53:53: i/o timeout"#
            )
        };
        let attempt = of_the_last_attempt(&because("41001"));
        let waits =
            format!(r#"Back-off pulling image "r/c:1": ErrImagePull: {}"#, because("41002"));
        assert_eq!(of_the_last_attempt(&waits), attempt);
        assert!(attempt.ends_with("read udp 10.0.0.1->10.0.0.53:53: i/o timeout"), "{attempt}");
        let bare = r#"Back-off pulling image "r/c:1""#;
        assert_eq!(of_the_last_attempt(bare), bare, "an older kubelet says no more");
    }

    #[test]
    fn the_end_of_a_long_chain_of_causes_is_kept() {
        let words = format!("cannot pull: {}: no such host.", "because ".repeat(99).trim_end());
        let line = one_line(&words);
        assert_eq!(line.chars().count(), WORDS_MAX);
        assert!(line.starts_with("cannot pull: ") && line.ends_with(": no such host"), "{line}");
    }

    #[test]
    fn an_end_is_told_by_what_was_wrong_not_by_where_help_is() {
        #[rustfmt::skip]
        let table = [ // exit code, its last words, reason, message
            (10, "a log line\ncairn: listen.api: no such address\n", "ConfigRejected", "cairn: listen.api: no such address"),
            (2, "error: invalid value 'none' for '--order <ORDER>'\n  [possible values: raft, tikv]\n\nFor more information, try '--help'.\n",
             "ConfigRejected", "invalid value 'none' for '--order <ORDER>' [possible values: raft, tikv]"),
            (101, "", "Crashed", "it ended with code 101"),
        ];
        for (exit_code, said, reason, message) in table {
            let message = message.to_owned();
            let ended = ContainerStateTerminated {
                exit_code,
                message: Some(said.into()),
                ..ContainerStateTerminated::default()
            };
            assert_eq!(fault_of_exit(&ended), Fault { reason, message });
        }
    }
}
