//! The stories, in the order in which they are played.

mod install;
mod lifecycle;
mod pods;
mod volume_lost;

use anyhow::bail;

use crate::stage::Stage;

/// One story.
pub(crate) struct Story {
    /// What it is chosen by.
    pub(crate) name: &'static str,
    /// What happens, in a line.
    pub(crate) title: &'static str,
    pub(crate) play: fn(&mut Stage) -> anyhow::Result<()>,
}

/// All of them.
pub(crate) const ALL: &[Story] = &[
    Story {
        name: "install",
        title: "a federation from the chart; the official driver works through the Service and a forwarded port",
        play: install::play,
    },
    Story {
        name: "pods",
        title: "pods deleted, processes killed and hung: each validator is back by itself, as who it was",
        play: pods::play,
    },
    Story {
        name: "volume-lost",
        title: "a validator's volume lost: it follows and signs nothing, or stays away; and comes back with its volume",
        play: volume_lost::play,
    },
    Story {
        name: "lifecycle",
        title: "grown, paused, fenced, suspended, deleted and made again; a volume of another chain is refused",
        play: lifecycle::play,
    },
];

/// Those whose names begin with one of these; all when there is none.
pub(crate) fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Story>> {
    for name in names {
        if !ALL.iter().any(|story| story.name.starts_with(name)) {
            let all: Vec<_> = ALL.iter().map(|story| story.name).collect();
            bail!("no story is called {name}; there are {}", all.join(", "));
        }
    }
    let wanted =
        |story: &&Story| names.is_empty() || names.iter().any(|name| story.name.starts_with(name));
    Ok(ALL.iter().filter(wanted).collect())
}
