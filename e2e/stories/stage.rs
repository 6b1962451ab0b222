//! Where one story plays: its namespace, what it says, what it runs, how it waits.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{
    checker::Checked,
    cluster::Cluster,
    report::{Outcome, Played},
    story::Story,
};

/// Longer than anything takes that should happen, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Between two looks: each costs a start of kubectl.
const PAUSE: Duration = Duration::from_millis(400);

/// Where one story plays.
pub(crate) struct Stage<'a> {
    /// Its namespace.
    pub(crate) namespace: String,
    /// The Kubernetes cluster it plays on.
    pub(crate) cluster: &'a Cluster,
    begun: Instant,
    /// What its lines begin with, where others play beside it.
    voice: String,
    /// What the client and the checker found, for the report.
    pub(crate) checked: Vec<Checked>,
}

impl<'a> Stage<'a> {
    /// An empty namespace for a story, whatever an earlier run left in it. `beside_others`: its lines say
    /// whose they are.
    pub(crate) fn new(
        story: &Story,
        cluster: &'a Cluster,
        beside_others: bool,
    ) -> anyhow::Result<Self> {
        let namespace = format!("story-{}", story.name);
        let voice = if beside_others { format!("{:<13} ", story.name) } else { String::new() };
        let stage = Self { namespace, cluster, begun: Instant::now(), voice, checked: vec![] };
        println!("\n=== {}: {}", story.name, story.title);
        let old = ["delete", "namespace", &stage.namespace, "--ignore-not-found", "--timeout=120s"];
        stage.cluster.kubectl(&old, None)?;
        stage.cluster.kubectl(&["create", "namespace", &stage.namespace], None)?;
        let level = "pod-security.kubernetes.io/enforce=restricted";
        stage.cluster.kubectl(&["label", "namespace", &stage.namespace, level], None)?;
        Ok(stage)
    }

    /// Plays it; whatever became of it is in what comes back.
    pub(crate) fn play(&mut self, story: &Story, bundles: &Path) -> Played {
        let outcome = match (story.play)(self) {
            Ok(()) => Outcome::Well,
            Err(error) if error.is::<NotHere>() => {
                self.say(format!("skipped: {error}"));
                Outcome::Skipped(error.to_string())
            }
            Err(error) => {
                println!("!!! {}: {error:#}", story.name);
                match crate::bundle::bundle(
                    self.cluster,
                    &self.namespace,
                    &bundles.join(story.name),
                ) {
                    Ok(()) => {
                        self.say(format!("support bundle: {}", bundles.join(story.name).display()))
                    }
                    Err(error) => self.say(format!("no support bundle: {error:#}")),
                }
                Outcome::Failed(format!("{error:#}"))
            }
        };
        let took = self.begun.elapsed();
        if !matches!(outcome, Outcome::Failed(_)) {
            let gone = ["delete", "namespace", &self.namespace, "--wait=false"];
            if let Err(error) = self.cluster.kubectl(&gone, None) {
                self.say(format!("the namespace stays: {error:#}"));
            }
        }
        Played { outcome, took, checked: std::mem::take(&mut self.checked) }
    }

    /// Tells what happens.
    pub(crate) fn say(&self, what: impl AsRef<str>) {
        let (voice, begun) = (&self.voice, self.begun.elapsed().as_secs_f64());
        println!("{voice}{begun:>7.1}s {}", what.as_ref());
    }

    /// Runs kubectl in the story's namespace, and shows that it did.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.say(format!("$ kubectl {}", arguments.join(" ")));
        self.quietly(arguments)
    }

    /// Runs kubectl in the story's namespace without a word: what is asked again and again.
    pub(crate) fn quietly(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.cluster.kubectl(&[&["--namespace", &self.namespace], arguments].concat(), None)
    }

    /// Applies a manifest, and says what it is.
    pub(crate) fn apply(&self, what: &str, manifest: &Value) -> anyhow::Result<()> {
        self.say(format!("$ kubectl apply   # {what}"));
        let arguments = ["--namespace", &self.namespace, "apply", "-f", "-"];
        self.cluster.kubectl(&arguments, Some(&manifest.to_string())).map(drop)
    }

    /// One object.
    pub(crate) fn object(&self, kind: &str, name: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.quietly(&["get", kind, name, "-o", "json"])?)?)
    }

    /// Waits until something holds. `look` answers what it found, or why not yet.
    pub(crate) fn until<T>(
        &self,
        what: &str,
        look: impl FnMut() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.within(PATIENCE, what, look)
    }

    /// Waits until something holds, for so long.
    pub(crate) fn within<T>(
        &self,
        limit: Duration,
        what: &str,
        mut look: impl FnMut() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let begun = Instant::now();
        loop {
            match look() {
                Ok(found) => {
                    self.say(format!("{what} (after {:.1} s)", begun.elapsed().as_secs_f64()));
                    return Ok(found);
                }
                Err(error) if begun.elapsed() > limit => {
                    return Err(error.context(format!("after {limit:?} still not: {what}")));
                }
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }
}

/// What this cluster cannot play: the reason.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotHere(pub(crate) String);

/// Runs a program; its output, or what it complained of.
pub(crate) fn run(program: &mut Command, input: Option<&str>) -> anyhow::Result<String> {
    use std::io::Write;
    let shown =
        format!("{} {:?}", program.get_program().display(), program.get_args().collect::<Vec<_>>());
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    program.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = program.spawn().with_context(|| format!("starting {shown}"))?;
    if let (Some(mut to), Some(input)) = (child.stdin.take(), input) {
        to.write_all(input.as_bytes())?;
    }
    let done = child.wait_with_output()?;
    if !done.status.success() {
        bail!("{shown}: {}: {}", done.status, String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(String::from_utf8(done.stdout)?)
}
