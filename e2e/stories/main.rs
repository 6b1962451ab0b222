//! Stories of a federation on a real Kubernetes: each does what a person, or bad luck, does to a
//! cluster while a client keeps working, prints it as it goes, and checks afterwards that nothing
//! that was acknowledged is missing anywhere.

#![expect(clippy::disallowed_methods, reason = "stories happen in real time")]

mod bundle;
mod checker;
mod client;
mod cluster;
mod federation;
mod nodes;
mod report;
mod rollout;
mod stage;
mod story;
mod validator;
mod volume;

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use clap::Parser;

use crate::{
    cluster::Cluster,
    report::{Outcome, Played, Report},
    stage::Stage,
    story::Story,
};

/// Plays stories on the Kubernetes cluster of the current kubeconfig.
///
/// The operator must be installed (`make cluster` does). Each story has a namespace of its own, which
/// goes when the story went well; what a failed one leaves behind is kept, with a support bundle.
#[derive(Parser)]
#[command(
    name = "cairn-stories",
    after_help = "Exit codes: 0 all went well, 1 a story failed, 2 the command line makes no sense."
)]
struct Arguments {
    /// The stories to play: names, or beginnings of them; all without any
    stories: Vec<String>,
    /// Names the stories and ends
    #[arg(long)]
    list: bool,
    /// How often to play them all
    #[arg(long, default_value_t = 1)]
    times: u32,
    /// How many to play side by side; those that break nodes or the operator are played alone, after them
    #[arg(long, default_value = "1", value_name = "STORIES")]
    at_once: NonZeroUsize,
    /// Where support bundles go
    #[arg(long, default_value = "target/stories", value_name = "FOLDER")]
    bundles: PathBuf,
    /// The table to write, as Markdown: docs/e2e.md
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for story in story::ALL {
            println!("{:<16} {}", story.name, story.title);
        }
        return ExitCode::SUCCESS;
    }
    match play(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cairn-stories: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether all went well.
fn play(arguments: &Arguments) -> anyhow::Result<bool> {
    let stories = story::chosen(&arguments.stories)?;
    let cluster = Cluster::of_environment()?;
    let mut report = Report::default();
    for _ in 0..arguments.times {
        for (story, played) in play_all(&stories, &cluster, arguments) {
            report.add(story, played);
        }
    }
    println!("\n{}", report.table());
    if let Some(file) = &arguments.report {
        report.write(file)?;
    }
    Ok(report.all_went_well())
}

/// Plays each once. What became of them comes in their order, whatever ended first.
fn play_all(
    stories: &[&'static Story],
    cluster: &Cluster,
    arguments: &Arguments,
) -> Vec<(&'static Story, Played)> {
    let beside_others = arguments.at_once.get() > 1;
    // What cannot even begin has failed, and the table tells of the others.
    let one = |story: &'static Story| match Stage::new(story, cluster, beside_others) {
        Ok(mut stage) => stage.play(story, &arguments.bundles),
        Err(error) => {
            println!("!!! {}: {error:#}", story.name);
            let outcome = Outcome::Failed(format!("{error:#}"));
            Played { outcome, took: Duration::ZERO, checked: vec![] }
        }
    };
    let (alone, together): (Vec<_>, Vec<_>) =
        stories.iter().enumerate().partition(|(_, story)| story.alone);
    let (waiting, ended) = (Mutex::new(together.into_iter()), Mutex::new(vec![]));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let end =
        |index, played| ended.lock().unwrap_or_else(PoisonError::into_inner).push((index, played));
    thread::scope(|scope| {
        for _ in 0..arguments.at_once.get() {
            scope.spawn(|| {
                while let Some((index, story)) = next() {
                    end(index, one(story));
                }
            });
        }
    });
    for (index, story) in alone {
        end(index, one(story));
    }
    let mut ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
    ended.sort_by_key(|(index, _)| *index);
    ended.into_iter().map(|(index, played)| (stories[index], played)).collect()
}
