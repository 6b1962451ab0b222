//! What the stories came to: a table for people, and docs/e2e.md.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use crate::{checker::Checked, story::Story};

/// How a story ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As it should.
    Well,
    /// This cluster cannot play it: why.
    Skipped(String),
    /// What went wrong.
    Failed(String),
}

/// One play of one story.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
    /// One for each federation that clients worked with.
    pub(crate) checked: Vec<Checked>,
}

/// All plays, in order.
#[derive(Default)]
pub(crate) struct Report(Vec<(&'static str, &'static str, Played)>);

impl Report {
    pub(crate) fn add(&mut self, story: &Story, played: Played) {
        self.0.push((story.name, story.title, played));
    }

    pub(crate) fn all_went_well(&self) -> bool {
        !self.0.iter().any(|(_, _, played)| matches!(played.outcome, Outcome::Failed(_)))
    }

    /// A table in Markdown, which reads well as it is.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from(
            "| story | what happens | outcome | took | longest silence | transactions checked | blocks | sent again |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        for (name, title, Played { outcome, took, checked }) in &self.0 {
            let outcome = match outcome {
                Outcome::Well => "well",
                Outcome::Skipped(_) => "skipped",
                Outcome::Failed(_) => "FAILED",
            };
            let silence = checked.iter().map(|it| it.longest_silence).max().unwrap_or_default();
            let transactions: usize = checked.iter().map(|it| it.transactions).sum();
            let blocks: u64 = checked.iter().map(|it| it.blocks).sum();
            let again: usize = checked.iter().map(|it| it.again).sum();
            let (took, silence) = (took.as_secs_f64(), silence.as_secs_f64());
            writeln!(
                text,
                "| {name} | {title} | {outcome} | {took:.0} s | {silence:.1} s | {transactions} | {blocks} | {again} |"
            )
            .expect("a String takes everything");
        }
        text
    }

    /// Writes the document that holds the table.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = format!(
            "# Stories on a real Kubernetes\n\n\
             Written by `make e2e REPORT=docs/e2e.md`, from one run on a cluster of three nodes on one machine of two cores. \
             While each story plays, clients create and transfer assets through the Service; afterwards every \
             acknowledged transaction must be on every validator, once, in the same blocks. The longest silence is \
             the longest time in which none of the clients got an acknowledgement.\n\n{}",
            self.table()
        );
        Ok(fs::write(file, text)?)
    }
}
