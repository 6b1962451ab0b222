//! Before there is a chain: a validator makes its own keys, shows their public halves at the admin
//! port, and waits until somebody puts the genesis there that names them.
//!
//! *Invariant:* keys are made only where no chain can know others: neither a genesis nor a pinned
//! copy of one is to be had, and the data directory holds no chain. A lost key is never made again.
//! A validator whose volume is lost and whose member key is not follows its chain with another
//! consensus key, with which it signs nothing.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cairn_ledger::genesis::Genesis;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::sleep,
};

use super::{Doors, listen, read_genesis, store_failure};
use crate::{
    api::{Admin, Identity, NodeStatus, Phase, serve},
    config::Config,
    exit::{ExitCode, Failure},
    keys,
    mesh::Peer,
    store::{Directory, replace},
};

/// How often the genesis is looked for.
const LOOK: Duration = Duration::from_millis(500);

/// Larger than the genesis of the most validators.
const GENESIS_BYTES_MAX: u64 = 1 << 20;

/// What a chain leaves in a data directory.
const TRACES: [&str; 4] = ["store.json", "blocks", "journal", "raft"];

/// The genesis that a data directory was founded with.
const PINNED: &str = "genesis.json";

/// What says that a data directory took the place of a lost one.
const FOLLOWER: &str = "follower";
const FOLLOWER_TEXT: &[u8] = b"# The volume with this validator's consensus key was lost. The key beside this file is another one:\n\
    # the validator follows its chain with it and signs nothing.\n";

/// SIGTERM and Ctrl-C.
pub(super) struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::general(format!("signals cannot be heard: {error}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Returns when it is time to end.
    pub(super) async fn over(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM: ends"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT: ends"),
        }
    }
}

/// What a validator that waited for its genesis goes on with.
pub(super) struct Founded {
    pub(super) doors: Doors,
    pub(super) admin: TcpListener,
    pub(super) told: Told,
    /// The admin port as it was while founding: it answers until this is dropped.
    pub(super) answering: watch::Sender<bool>,
}

/// How a genesis file is.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// It ends in the middle: somebody is writing it.
    Half,
    /// It is whole. Whether it is sound is for the usual start to find out.
    Whole,
}

/// Whether the validator has to make its keys and to wait.
///
/// # Errors
/// When there is no genesis, but a chain: what is missing then is not for this node to make.
pub(super) fn is_due(config: &Config) -> Result<bool, Failure> {
    if pinned(config).exists() || find(&config.genesis)? == Found::Whole {
        return Ok(false);
    }
    let Some(trace) = TRACES.iter().find(|name| config.data.join(name).exists()) else {
        return Ok(true);
    };
    Err(Failure::new(
        ExitCode::Genesis,
        format!(
            "the genesis file {} is missing or empty, and {} says that there is a chain already; its genesis belongs there",
            config.genesis.display(),
            config.data.join(trace).display()
        ),
    ))
}

/// Makes the keys, shows them, waits. Nothing when the validator was told to end meanwhile.
pub(super) async fn wait(config: &Config) -> Result<Option<Founded>, Failure> {
    // Durably: the keys in it must not go with its name.
    keys::make_directory(&config.data).map_err(|error| {
        let path = config.data.display();
        Failure::new(ExitCode::DataDirectory, format!("{path} cannot be made: {error}"))
    })?;
    let _directory = Directory::hold(&config.data).map_err(store_failure)?;
    // Before the keys: a busy port must leave no trace.
    let admin = listen(config.listen.admin, "admin")?;
    let doors = Doors::open(config)?;
    let identity = tokio::task::block_in_place(|| make_keys(config))?;
    let mut told = Told::listen()?;

    let said = waiting_for(config, &identity, &doors);
    tracing::info!(
        validator = identity.validator,
        consensus_key = %identity.consensus_key,
        member_key = %identity.member_key,
        genesis = %config.genesis.display(),
        "founding: waits for a genesis that names these keys"
    );
    let (status, shown) = watch::channel(said);
    let metrics = Arc::clone(&doors.admin.metrics);
    let router = Admin { identity, genesis: None, status: shown, metrics, intake: None }.router();
    let twin = twin_of(&admin)?;
    let (answering, stop) = watch::channel(false);
    let server = tokio::spawn(serve(twin, router, doors.admin.clone(), stop));

    tokio::select! {
        found = until_whole(&config.genesis, &status) => found?,
        () = told.over() => {
            answering.send_replace(true);
            let _ = server.await;
            return Ok(None);
        }
    }
    tracing::info!(genesis = %config.genesis.display(), "the genesis is there");
    Ok(Some(Founded { doors, admin, told, answering }))
}

fn make_keys(config: &Config) -> Result<Identity, Failure> {
    // A start that ended between the two finds the first again.
    let consensus = keys::read_or_make(&config.data.join("consensus.key"))?;
    let member = keys::read_or_make(&config.member_key)?;
    Ok(Identity {
        validator: config.name.clone(),
        consensus_key: consensus.public(),
        member_key: member.public(),
    })
}

fn waiting_for(config: &Config, identity: &Identity, doors: &Doors) -> NodeStatus {
    let why = format!("waits for the genesis file {}", config.genesis.display());
    NodeStatus {
        phase: Phase::Founding,
        validator: identity.validator.clone(),
        not_voting_because: Some("there is no chain yet".to_owned()),
        no_quorum_because: Some("there is no chain yet".to_owned()),
        not_ready_because: Some(why),
        order: "none yet".to_owned(),
        certificate_expiry: doors.admin.metrics.tls_certificate_expiry.get(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..NodeStatus::default()
    }
}

/// The same socket once more: who serves next takes over without a moment in which nobody listens.
fn twin_of(listener: &TcpListener) -> Result<TcpListener, Failure> {
    use std::os::fd::AsFd;
    let twin = listener.as_fd().try_clone_to_owned();
    let twin = twin.and_then(|twin| TcpListener::from_std(std::net::TcpListener::from(twin)));
    twin.map_err(|error| Failure::general(format!("the admin port cannot be shared: {error}")))
}

async fn until_whole(path: &Path, status: &watch::Sender<NodeStatus>) -> Result<(), Failure> {
    let mut half = false;
    loop {
        match find(path)? {
            Found::Whole => return Ok(()),
            Found::Half if !half => {
                half = true;
                let why = format!("the genesis file {} ends in the middle", path.display());
                tracing::warn!(why, "waits for the rest of the genesis");
                status.send_modify(|status| status.not_ready_because = Some(why));
            }
            Found::Half | Found::Nothing => {}
        }
        sleep(LOOK).await;
    }
}

/// Looks at a genesis file. Kubernetes puts files there whole, and `cairn genesis new` does; `cp`
/// and editors do not, and a file that is empty for a moment must not end a validator.
fn find(path: &Path) -> Result<Found, Failure> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path)
        .and_then(|file| file.take(GENESIS_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => {
            let path = path.display();
            return Err(Failure::new(
                ExitCode::Genesis,
                format!("the genesis file {path}: {error}"),
            ));
        }
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(&bytes) {
        Err(error) if error.is_eof() && bytes.len() as u64 <= GENESIS_BYTES_MAX => Ok(Found::Half),
        _ => Ok(Found::Whole),
    }
}

fn pinned(config: &Config) -> PathBuf {
    config.data.join(PINNED)
}

/// The genesis, or the copy of it that was pinned when there was one.
pub(super) fn genesis(config: &Config) -> Result<Genesis, Failure> {
    let pinned = pinned(config);
    if !pinned.exists() {
        return read_genesis(&config.genesis);
    }
    let kept = read_genesis(&pinned)?;
    if find(&config.genesis)? == Found::Nothing {
        tracing::info!(genesis = %pinned.display(), "the genesis file is gone: the pinned copy counts");
        return Ok(kept);
    }
    let given = read_genesis(&config.genesis)?;
    if given.chain() == kept.chain() {
        return Ok(kept);
    }
    Err(Failure::new(
        ExitCode::DataDirectory,
        format!(
            "the genesis file {} is of chain {}, {} is of chain {}; this data directory is the latter's",
            config.genesis.display(),
            given.chain(),
            pinned.display(),
            kept.chain()
        ),
    ))
}

/// Whether the keys that the genesis must name are there at all. One may be missing: the consensus key
/// on an empty volume, beside a member key that is kept elsewhere. The chain knows its owner, who may
/// follow.
pub(super) fn check_there(config: &Config, genesis: &Genesis) -> Result<(), Failure> {
    let consensus = config.data.join("consensus.key");
    let follows =
        config.member_key.exists() && (is_follower(config) || is_empty_volume(&config.data));
    for key in [&consensus, &config.member_key] {
        let may_lack = follows && key == &consensus;
        if !key.exists() && !may_lack {
            return Err(Failure::new(
                ExitCode::Key,
                format!(
                    "the key file {} is missing, and chain {} is founded: a lost key is not made again; restore the volume, or register a new validator",
                    key.display(),
                    genesis.chain()
                ),
            ));
        }
    }
    Ok(())
}

fn is_follower(config: &Config) -> bool {
    config.data.join(FOLLOWER).exists()
}

fn is_empty_volume(data: &Path) -> bool {
    !data.join(PINNED).exists() && !TRACES.iter().any(|name| data.join(name).exists())
}

/// Whether the genesis names the consensus key that was made here. A follower's it does not name.
pub(super) fn check_named(config: &Config, genesis: &Genesis, me: Peer) -> Result<(), Failure> {
    if is_follower(config) {
        return Ok(());
    }
    let path = config.data.join("consensus.key");
    if !path.exists() {
        return follow(config, genesis);
    }
    let own = keys::read(&path)?.public();
    let named = genesis.validators()[usize::from(me)].consensus_key;
    if own == named {
        return Ok(());
    }
    Err(Failure::new(
        ExitCode::Key,
        format!(
            "{} holds the key {own}; the genesis names {named} as the consensus key of {}",
            path.display(),
            config.name
        ),
    ))
}

/// Writes down that the key which the chain knows is lost, before another one is made: without that,
/// the other one would be taken for a wrong one at the next start.
fn follow(config: &Config, genesis: &Genesis) -> Result<(), Failure> {
    tracing::warn!(
        chain = %genesis.chain(),
        "the volume is empty and the chain is founded: the consensus key is lost, and this validator follows"
    );
    keys::make_directory(&config.data).map_err(|error| {
        let path = config.data.display();
        Failure::new(ExitCode::DataDirectory, format!("{path} cannot be made: {error}"))
    })?;
    let mark = config.data.join(FOLLOWER);
    replace(&mark, |file| file.write_all(FOLLOWER_TEXT)).map_err(store_failure)
}

/// Keeps the genesis, so that the validator can start without the file. When the store was
/// opened: from then on the directory is known to be this chain's.
pub(super) fn pin(config: &Config, genesis: &Genesis) -> Result<(), Failure> {
    let pinned = pinned(config);
    if pinned.exists() {
        return Ok(());
    }
    let text = genesis.to_json();
    replace(&pinned, |file| file.write_all(text.as_bytes())).map_err(store_failure)
}
