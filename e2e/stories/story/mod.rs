//! The stories, in the order in which they are played.

mod certificates;
mod control_plane;
mod drain;
mod install;
mod lifecycle;
mod node_crash;
mod operator;
mod partition;
mod pods;
mod tikv;
mod upgrade;
mod volume_lost;

use anyhow::bail;

use crate::stage::Stage;

/// One story.
pub(crate) struct Story {
    /// What it is chosen by.
    pub(crate) name: &'static str,
    /// What happens, in a line.
    pub(crate) title: &'static str,
    /// Nobody else plays meanwhile: it breaks what all stories stand on, nodes or operator.
    pub(crate) alone: bool,
    pub(crate) play: fn(&mut Stage) -> anyhow::Result<()>,
}

/// All of them.
pub(crate) const ALL: &[Story] = &[
    Story {
        name: "install",
        title: "a federation from the chart; the official driver works through the Service and a forwarded port",
        alone: false,
        play: install::play,
    },
    Story {
        name: "pods",
        title: "pods deleted, processes killed and hung: each validator is back by itself, as who it was",
        alone: false,
        play: pods::play,
    },
    Story {
        name: "volume-lost",
        title: "a validator's volume lost: it follows and signs nothing, or stays away; and comes back with its volume",
        alone: false,
        play: volume_lost::play,
    },
    Story {
        name: "lifecycle",
        title: "grown, paused, fenced, suspended, deleted and made again; a volume of another chain is refused",
        alone: false,
        play: lifecycle::play,
    },
    Story {
        name: "upgrade",
        title: "other images, sizes and configuration, one validator at a time; images that cannot start",
        alone: false,
        play: upgrade::play,
    },
    Story {
        name: "tikv",
        title: "log and state in TiKV: a store killed, PD killed, all of it gone for a minute",
        alone: false,
        play: tikv::play,
    },
    Story {
        name: "certificates",
        title: "the API's certificate: missing, renewed under load, about to end, ended",
        alone: false,
        play: certificates::play,
    },
    Story {
        name: "drain",
        title: "nodes are drained: one validator may go, a second waits",
        alone: true,
        play: drain::play,
    },
    Story {
        name: "node-crash",
        title: "nodes lose power and boot: one validator gone, then two and with them the quorum",
        alone: true,
        play: node_crash::play,
    },
    Story {
        name: "partition",
        title: "nodes are cut off each other, the control plane and everything; without a quorum for a while",
        alone: true,
        play: partition::play,
    },
    Story {
        name: "control-plane",
        title: "the API server and etcd are gone for a while; the federation votes on",
        alone: true,
        play: control_plane::play,
    },
    Story {
        name: "operator",
        title: "the operator dies and is upgraded: its work goes on, and no validator is restarted for it",
        alone: true,
        play: operator::play,
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
