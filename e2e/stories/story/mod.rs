//! The stories, in the order in which they are played.

mod certificates;
mod install;
mod operator;
mod upgrade;

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
        title: "a federation from one manifest; clients work through the Service",
        play: install::play,
    },
    Story {
        name: "upgrade",
        title: "other images, sizes and configuration, one validator at a time; images that cannot start",
        play: upgrade::play,
    },
    Story {
        name: "operator",
        title: "the operator dies and is upgraded: its work goes on, and no validator is restarted for it",
        play: operator::play,
    },
    Story {
        name: "certificates",
        title: "the API's certificate: missing, renewed under load, about to end, ended",
        play: certificates::play,
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
