//! Wires the rooms together: opens what is on the disk, starts from the inside out, and ends
//! in the opposite order.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cairn_ledger::{
    genesis::Genesis,
    ids::{Height, Position, PublicKey},
    signature::SigningKey,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
};

use crate::{
    api::{
        self, Admin, Api, ApiParts, ApiSettings, Identity, Serving,
        access::{Access, authorities_of},
        serve,
        server::{Places, Tls, descriptors},
    },
    chain::{
        journal::{self, Journal},
        shell::{Fatal, Frontier, Parts, Shell},
    },
    clock::Stopwatch,
    config::{Config, OrderKind, StoreKind},
    exit::{ExitCode, Failure},
    intake::Intake,
    keys,
    mesh::{Channel, Mesh, MeshConfig, Peer},
    metrics::Metrics,
    order::{
        Order,
        forward::Transport,
        memory::Memory,
        raft::{OrderOpenError, Raft, RaftConfig},
    },
    query::Query,
    search::Search,
    store::{Located, Store, StoreError, embedded::Embedded},
    streams::StreamLimits,
    traces::Traces,
};

mod founding;
mod quorum;
mod telling;
#[cfg(feature = "tikv")]
mod tikv;
#[cfg(not(feature = "tikv"))]
#[path = "node/without_tikv.rs"]
mod tikv;
mod volume;

use founding::{Founded, Told};
use telling::{LOOK, Telling};
use tikv::Tikv;

/// Most connections of the admin port at a time.
const ADMIN_CONNECTIONS: usize = 256;

/// Runs one validator until SIGTERM, SIGINT, or trouble that it must not go on with.
///
/// # Errors
/// One sentence, and the exit code for it.
pub fn run(config: Config) -> Result<(), Failure> {
    tracing::info!(
        validator = config.name,
        version = env!("CARGO_PKG_VERSION"),
        data = %config.data.display(),
        order = %config.order,
        store = %config.store,
        "starts"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::general(format!("the runtime does not start: {error}")))?;
    runtime.block_on(async {
        if !config.create_keys || !founding::is_due(&config)? {
            return live(config, None).await;
        }
        match founding::wait(&config).await? {
            Some(founded) => live(config, Some(founded)).await,
            None => Ok(()),
        }
    })
}

/// Opens, starts, and runs until it is told to end.
async fn live(config: Config, founded: Option<Founded>) -> Result<(), Failure> {
    let (doors, admin, told, answering) = match founded {
        Some(Founded { doors, admin, told, answering }) => {
            (Some(doors), Some(admin), Some(told), Some(answering))
        }
        None => (None, None, None, None),
    };
    let opened = tokio::task::block_in_place(|| Opened::open(&config, doors))?;
    // Before the signing state, which opening changes: a busy port must leave no trace. After
    // the store: a second process on one directory should hear of that, not of its ports.
    let ports = Ports::take(&config, admin)?;
    let _pid = PidFile::write(&config.home);
    let signing = tokio::task::block_in_place(|| opened.signing(&config))?;
    let running = Running::start(config, opened, signing, ports).await?;
    drop(answering);
    let told = told.map_or_else(Told::listen, Ok)?;
    running.until_told(told).await
}

/// The file beside the configuration that says which process runs this validator. Whoever
/// holds the data directory writes it, and takes it away at a clean end.
struct PidFile(PathBuf);

impl PidFile {
    /// Nothing where the configuration lies on a read-only file system, as it may: whatever
    /// runs the validator there knows its process.
    fn write(home: &Path) -> Option<Self> {
        let path = home.join("pid");
        match std::fs::write(&path, format!("{}\n", std::process::id())) {
            Ok(()) => Some(Self(path)),
            Err(error) => {
                tracing::debug!(%error, path = %path.display(), "no pid file");
                None
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let own = std::process::id().to_string();
        if std::fs::read_to_string(&self.0).is_ok_and(|text| text.trim() == own) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

/// What the disk gave.
struct Opened {
    genesis: Arc<Genesis>,
    me: Peer,
    member_key: SigningKey,
    store: Arc<dyn Store>,
    /// There when log or store are in one.
    tikv: Option<Tikv>,
    doors: Doors,
}

/// Where it is heard.
struct Ports {
    mesh: TcpListener,
    api: TcpListener,
    api_events: TcpListener,
    admin: TcpListener,
}

impl Ports {
    /// The admin port may be open already.
    fn take(config: &Config, admin: Option<TcpListener>) -> Result<Self, Failure> {
        Ok(Self {
            mesh: listen(config.listen.mesh, "mesh")?,
            api: listen(config.listen.api, "API")?,
            api_events: listen(config.listen.api_events, "events")?,
            admin: match admin {
                Some(admin) => admin,
                None => listen(config.listen.admin, "admin")?,
            },
        })
    }
}

/// Whether this node signs.
struct Signing {
    /// Whether the chain knows its consensus key: a node that lost its volume is no member of
    /// the log either, because what its log had acknowledged is gone.
    member: bool,
    /// The public half of the consensus key on the volume, whether it signs or not.
    shown: PublicKey,
    key: Option<SigningKey>,
    from: Height,
    /// How high the ledger was here once, as far as the journal knows.
    stood: Height,
    journal: Option<Journal>,
    replay: Vec<journal::Record>,
    /// Why not, in one sentence.
    not_because: Option<String>,
}

impl Signing {
    fn never(member: bool, shown: PublicKey, why: String) -> Self {
        tracing::warn!(why, "follows without signing");
        Self {
            member,
            shown,
            key: None,
            from: Height(0),
            stood: Height(0),
            journal: None,
            replay: Vec::new(),
            not_because: Some(why),
        }
    }
}

impl Opened {
    fn open(config: &Config, doors: Option<Doors>) -> Result<Self, Failure> {
        let genesis = Arc::new(genesis_of(config)?);
        if config.create_keys {
            founding::check_there(config, &genesis)?;
        }
        let member_key = keys::read(&config.member_key)?;
        let me = find_me(&genesis, config, &member_key)?;
        if config.create_keys {
            founding::check_named(config, &genesis, me)?;
        }
        let doors = doors.map_or_else(|| Doors::open(config), Ok)?;
        std::fs::create_dir_all(&config.data).map_err(|error| {
            let path = config.data.display();
            Failure::new(ExitCode::DataDirectory, format!("{path} cannot be made: {error}"))
        })?;
        let wanted = config.order == OrderKind::Tikv || config.store == StoreKind::Tikv;
        let tikv = match config.tikv.as_ref().filter(|_| wanted) {
            Some(cluster) => Some(Tikv::open(cluster, genesis.chain(), &doors.api.metrics)?),
            None => None,
        };
        let store = store(config, &genesis, tikv.as_ref(), &doors.api.metrics)?;
        if config.create_keys {
            founding::pin(config, &genesis)?;
        }
        Ok(Self { genesis, me, member_key, store, tikv, doors })
    }

    fn signing(&self, config: &Config) -> Result<Signing, Failure> {
        open_signing(&config.data, &self.genesis, self.me, self.store.tip().0.height)
    }
}

/// The store of a validator that does not run.
///
/// # Errors
/// One sentence, and the exit code for it.
pub(crate) fn open_store(
    config: &Config,
    genesis: &Arc<Genesis>,
) -> Result<Arc<dyn Store>, Failure> {
    let cluster = config.tikv.as_ref().filter(|_| config.store == StoreKind::Tikv);
    let metrics = Arc::default();
    let tikv = match cluster {
        Some(cluster) => Some(Tikv::open(cluster, genesis.chain(), &metrics)?),
        None => None,
    };
    store(config, genesis, tikv.as_ref(), &metrics)
}

fn store(
    config: &Config,
    genesis: &Arc<Genesis>,
    tikv: Option<&Tikv>,
    metrics: &Metrics,
) -> Result<Arc<dyn Store>, Failure> {
    if let (StoreKind::Tikv, Some(tikv)) = (config.store, tikv) {
        return tikv.store(&config.data, genesis, &config.name);
    }
    let opened = Embedded::open(&config.data, Arc::clone(genesis)).map_err(store_failure)?;
    opened.count_snapshots(metrics.snapshot.clone());
    Ok(Arc::new(opened))
}

/// The genesis of a validator's chain.
///
/// # Errors
/// One sentence, and the exit code for it.
pub(crate) fn genesis_of(config: &Config) -> Result<Genesis, Failure> {
    if config.create_keys { founding::genesis(config) } else { read_genesis(&config.genesis) }
}

fn read_genesis(path: &Path) -> Result<Genesis, Failure> {
    let failed = |why: String| {
        Failure::new(ExitCode::Genesis, format!("the genesis file {}: {why}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    Genesis::from_json(&text).map_err(|error| failed(error.to_string()))
}

fn find_me(genesis: &Genesis, config: &Config, member_key: &SigningKey) -> Result<Peer, Failure> {
    let failed = |why: String| Failure::new(ExitCode::Genesis, why);
    let at = genesis.validators().iter().position(|validator| validator.name == config.name);
    let Some(at) = at else {
        let names: Vec<_> = genesis.validators().iter().map(|v| v.name.as_str()).collect();
        let (name, names) = (&config.name, names.join(", "));
        return Err(failed(format!("the genesis names no validator {name}; it names {names}")));
    };
    let named = genesis.validators()[at].member_key;
    if named != member_key.public() {
        let (file, own) = (config.member_key.display(), member_key.public());
        return Err(Failure::new(
            ExitCode::Key,
            format!(
                "{file} holds the key {own}; the genesis names {named} as the member key of {}",
                config.name
            ),
        ));
    }
    Ok(Peer::try_from(at).expect("a genesis has at most 128 validators"))
}

/// The consensus key, and the state that keeps it from signing twice. A key that is lost, or
/// whose state is, never signs again; the node follows the chain all the same.
fn open_signing(data: &Path, genesis: &Genesis, me: Peer, tip: Height) -> Result<Signing, Failure> {
    let path = data.join("consensus.key");
    if !path.exists() {
        keys::write_new(&path, &keys::generate())?;
    }
    let key = keys::read(&path)?;
    let named = genesis.validators()[usize::from(me)].consensus_key;
    if key.public() != named {
        let why = format!(
            "its consensus key is {}, the chain knows {named}; the old key is gone with its volume, and a new one must be registered",
            key.public()
        );
        return Ok(Signing::never(false, key.public(), why));
    }
    let journal_path = data.join("journal");
    // A key that has signed nothing yet says so in its file. Without that, a missing journal is a
    // lost one, and what it knew nobody knows.
    if !journal_path.exists() && keys::is_unused(&path)? && tip == Height(0) {
        drop(
            Journal::create(&journal_path, genesis.chain(), key.public())
                .map_err(journal_failure)?,
        );
    }
    let opened = Journal::open(&journal_path, genesis.chain(), key.public(), tip);
    let (journal, recovered) = match opened {
        Ok(opened) => opened,
        Err(error) if error.may_observe() => {
            return Ok(Signing::never(true, key.public(), error.to_string()));
        }
        Err(error) => return Err(journal_failure(error)),
    };
    keys::mark_used(&path, &key)?;
    for warning in &recovered.warnings {
        tracing::warn!(why = warning, "the signing state is not as it was left");
    }
    let journal::Recovered { may_sign_from: from, stood, records: replay, .. } = recovered;
    Ok(Signing {
        member: true,
        shown: key.public(),
        key: Some(key),
        from,
        stood,
        journal: Some(journal),
        replay,
        not_because: None,
    })
}

#[async_trait::async_trait]
impl api::Frontier for Frontier {
    async fn find(&self) -> Option<Height> {
        self.highest().await
    }
}

/// A validator at work.
struct Running {
    shell: Shell,
    order: Arc<dyn Order>,
    order_failed: watch::Receiver<Option<String>>,
    mesh: Arc<Mesh>,
    intake: Arc<Intake>,
    store: Arc<dyn Store>,
    search: Arc<Search>,
    traces: Arc<Traces>,
    stop_serving: watch::Sender<bool>,
    servers: Vec<tokio::task::JoinHandle<()>>,
}

impl Running {
    #[expect(clippy::too_many_lines, reason = "the order in which a node starts, told once")]
    async fn start(
        config: Config,
        opened: Opened,
        signing: Signing,
        ports: Ports,
    ) -> Result<Self, Failure> {
        let Opened { genesis, me, member_key, store, tikv, doors } = opened;
        let not_voting_because = signing.not_because.clone();
        let metrics = Arc::clone(&doors.api.metrics);
        let addresses = addresses(&config, &genesis, me)?;
        let member_public = member_key.public();
        let traces = open_traces(&config, &genesis, &metrics)?;
        let chain = genesis.chain();
        let mesh =
            Mesh::new(MeshConfig { genesis: Arc::clone(&genesis), me, member_key, addresses });
        let opening = Opening {
            config: &config,
            genesis: &genesis,
            me,
            mesh: &mesh,
            metrics: &metrics,
            tikv: tikv.as_ref(),
        };
        let (order, order_failed) = opening.order(&signing, store.tip().0.order).await?;
        let intake = open_intake(&config, &order, &store, &metrics);
        let Signing { member: _, shown, key, from, stood, journal, replay, not_because: _ } =
            signing;
        let parts = Parts {
            genesis: Arc::clone(&genesis),
            me,
            signer: key,
            sign_from: from,
            journal,
            replay,
            store: Arc::clone(&store),
            order: Arc::clone(&order),
            mesh: Arc::clone(&mesh),
            intake: Arc::clone(&intake),
            metrics: Arc::clone(&metrics),
            evidence: config.data.join("evidence.jsonl"),
        };
        let shell = Shell::start(parts, &tokio::runtime::Handle::current());
        mesh.start(ports.mesh);

        let telling = Telling {
            genesis: Arc::clone(&genesis),
            me,
            not_voting_because,
            stood,
            mesh: Arc::clone(&mesh),
            order: Arc::clone(&order),
            store: Arc::clone(&store),
            intake: Arc::clone(&intake),
            metrics: Arc::clone(&metrics),
            since: Stopwatch::start(),
        };
        let (status_sender, status) = watch::channel(telling.status(&shell.status().borrow()));
        let admin = Admin {
            identity: Identity {
                validator: config.name.clone(),
                consensus_key: shown,
                member_key: member_public,
            },
            genesis: Some(Arc::clone(&genesis)),
            status: status.clone(),
            metrics: Arc::clone(&metrics),
            intake: Some(Arc::clone(&intake)),
        };
        let frontier = Frontier::new(Arc::clone(&mesh), Arc::clone(&genesis), me, shell.status());
        let query = Arc::new(Query::new(Arc::clone(&store), genesis));
        let search = open_search(&config, &store, &metrics)?;
        if traces.are_on() {
            tokio::spawn(tell_what_is_searchable(Arc::clone(&search), Arc::clone(&traces)));
        }
        let api = Api::open(ApiParts {
            query,
            search: Arc::clone(&search),
            intake: Arc::clone(&intake),
            metrics: Arc::clone(&metrics),
            traces: Arc::clone(&traces),
            status,
            frontier: Arc::new(frontier),
            stood,
            settings: settings(&config, doors.access),
        });
        let (stop_serving, stop) = watch::channel(false);
        let doors = [
            (ports.api, api.router(), doors.api.clone()),
            (ports.api_events, api.events_router(), doors.api),
            (ports.admin, admin.router(), doors.admin),
        ];
        let mut servers = Vec::from(doors.map(|(listener, router, serving)| {
            tokio::spawn(serve(listener, router, serving, stop.clone()))
        }));
        servers.push(tokio::spawn(telling.keep_telling(shell.status(), status_sender)));
        tokio::spawn(volume::keep_measuring(config.data.clone(), Arc::clone(&metrics)));
        if let Some(tikv) = tikv
            && config.tikv.as_ref().is_some_and(|tikv| tikv.collect_garbage)
        {
            tokio::spawn(tikv.collect_garbage());
        }
        tracing::info!(
            validator = config.name,
            %chain,
            height = store.tip().0.height.0,
            api = %config.listen.api,
            "serving"
        );
        Ok(Self {
            shell,
            order,
            order_failed,
            mesh,
            intake,
            store,
            search,
            traces,
            stop_serving,
            servers,
        })
    }

    /// Waits for a reason to end, then ends in order.
    async fn until_told(mut self, told: Told) -> Result<(), Failure> {
        let told = self.reason_to_end(told).await;
        self.stop_serving.send_replace(true);
        self.intake.stop().await;
        for server in self.servers {
            let _ = tokio::time::timeout(Duration::from_secs(6), server).await;
        }
        let shell = self.shell;
        let ended = tokio::task::block_in_place(|| shell.stop());
        self.order.stop().await;
        self.mesh.stop().await;
        tokio::task::block_in_place(|| {
            self.search.stop();
            self.store.stop();
            self.traces.stop();
        });
        let ended = told.and(ended.map_err(fatal_failure));
        match &ended {
            Ok(()) => tracing::info!("ended"),
            Err(why) => tracing::error!(%why, "ended by a failure"),
        }
        ended
    }

    async fn reason_to_end(&mut self, mut told: Told) -> Result<(), Failure> {
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                () = told.over() => return Ok(()),
                _ = look.tick() => {
                    if self.shell.has_ended() {
                        return Ok(());
                    }
                    if let Some(why) = self.order_failed.borrow().clone() {
                        return Err(Failure::new(ExitCode::StorageFailed, why));
                    }
                }
            }
        }
    }
}

/// Who follows the day of which transaction.
fn open_traces(
    config: &Config,
    genesis: &Genesis,
    metrics: &Arc<Metrics>,
) -> Result<Arc<Traces>, Failure> {
    let Some(settings) = config.traces.clone() else { return Ok(Traces::off()) };
    let authorities = settings.ca_file.as_deref().map(authorities_of).transpose();
    let authorities = authorities
        .map_err(|why| Failure::new(ExitCode::Config, format!("traces.ca_file: {why}")))?;
    let chain = genesis.chain();
    Traces::open(settings, authorities, &config.name, &chain, Arc::clone(metrics))
        .map_err(|error| Failure::general(format!("no thread for traces: {error}")))
}

/// Until the end of the index.
async fn tell_what_is_searchable(search: Arc<Search>, traces: Arc<Traces>) {
    let mut heights = search.heights();
    drop(search);
    loop {
        traces.searchable(*heights.borrow_and_update());
        if heights.changed().await.is_err() {
            return;
        }
    }
}

fn settings(config: &Config, access: Arc<Access>) -> ApiSettings {
    ApiSettings {
        advertised_streams_url: config.api.advertised_streams_url.clone(),
        streams_port: config.listen.api_events.port(),
        tls: config.api.tls.is_some(),
        access,
        streams: StreamLimits { streams: config.streams, ..StreamLimits::default() },
        ..ApiSettings::default()
    }
}

fn open_intake(
    config: &Config,
    order: &Arc<dyn Order>,
    store: &Arc<dyn Store>,
    metrics: &Arc<Metrics>,
) -> Arc<Intake> {
    let store = Arc::clone(store);
    let lookup = move |id: &_| match store.locate(id) {
        Ok(Some(Located::Committed(place))) => Some(place),
        Ok(Some(Located::Refused(_)) | None) | Err(_) => None,
    };
    Intake::start_with(Arc::clone(order), config.intake, Arc::clone(metrics), Box::new(lookup))
}

fn open_search(
    config: &Config,
    store: &Arc<dyn Store>,
    metrics: &Arc<Metrics>,
) -> Result<Arc<Search>, Failure> {
    let (store, metrics) = (Arc::clone(store), Arc::clone(metrics));
    let open = || Search::open(&config.data.join("search"), store, metrics);
    Ok(Arc::new(tokio::task::block_in_place(open).map_err(store_failure)?))
}

/// How the ports that speak HTTP are served, and to whom.
struct Doors {
    access: Arc<Access>,
    /// The API's own, and that of its streams: they share their places.
    api: Serving,
    admin: Serving,
}

impl Doors {
    fn open(config: &Config) -> Result<Self, Failure> {
        let failed = |why: String| Failure::new(ExitCode::Config, format!("[api]: {why}"));
        let metrics = Arc::new(Metrics::new());
        let access = Access::open(config.api.access.clone()).map_err(failed)?;
        let mut limits = config.api.limits;
        limits.connections = descriptors::make_room(limits.connections);
        let tls = config.api.tls.clone();
        let tls = tls.map(|files| Tls::open(files, Arc::clone(&metrics))).transpose();
        let tls = tls.map_err(failed)?;
        let places = Places::new(limits.connections, Arc::clone(&metrics));
        let api = Serving { limits, places, tls: tls.clone(), metrics };
        // Whoever looks after a validator finds a way in, whatever happens at the other ports.
        let places = Places::new(ADMIN_CONNECTIONS, Arc::clone(&api.metrics));
        let tls = tls.filter(|_| config.api.admin_tls);
        let admin = Serving { places, tls, ..api.clone() };
        Ok(Self { access, api, admin })
    }
}

/// What opening the log needs.
struct Opening<'a> {
    config: &'a Config,
    genesis: &'a Genesis,
    me: Peer,
    mesh: &'a Arc<Mesh>,
    metrics: &'a Metrics,
    tikv: Option<&'a Tikv>,
}

/// A log, and a watch that says when it has failed for good.
type OpenedOrder = (Arc<dyn Order>, watch::Receiver<Option<String>>);

impl Opening<'_> {
    async fn order(&self, signing: &Signing, tip: Position) -> Result<OpenedOrder, Failure> {
        let validators = self.genesis.validators().len();
        match self.config.order {
            OrderKind::Tikv => {
                let tikv = self.tikv.expect("the configuration was checked");
                let order = tikv.order(self.genesis, self.me, tip, self.mesh);
                Ok((order, watch::channel(None).1))
            }
            OrderKind::Memory if validators > 1 => Err(Failure::new(
                ExitCode::Config,
                format!(
                    "order \"memory\" is for a chain of one validator, this one has {validators}; \"raft\" would be fine"
                ),
            )),
            OrderKind::Memory => Ok((Arc::new(Memory::after(tip)), watch::channel(None).1)),
            OrderKind::Raft => {
                let expected = tip > Position(0) || signing.journal.is_none();
                self.raft(signing.member, expected).await
            }
        }
    }

    async fn raft(&self, member: bool, expected: bool) -> Result<OpenedOrder, Failure> {
        let config = |member| RaftConfig {
            directory: self.config.data.join("raft"),
            chain: self.genesis.chain(),
            me: self.me,
            validators: u16::try_from(self.genesis.validators().len())
                .expect("a genesis has at most 128 validators"),
            member,
            expected,
            transport: Arc::clone(self.mesh) as Arc<dyn Transport>,
        };
        let opened = match Raft::open(config(member)).await {
            Err(missing @ OrderOpenError::Missing(_)) => {
                tracing::warn!(why = %missing, "has no log: reads blocks from its peers instead");
                Raft::open(config(false)).await
            }
            opened => opened,
        };
        let (raft, service) = opened.map_err(order_failure)?;
        raft.count_syncs(self.metrics.fsync.with_label_values(&["raft"]));
        self.mesh.serve(Channel::Order, service);
        let (failed, has_failed) = watch::channel(None);
        let watched = Arc::clone(&raft);
        tokio::spawn(async move {
            failed.send_replace(Some(watched.failed().await));
        });
        Ok((raft, has_failed))
    }
}

fn order_failure(error: OrderOpenError) -> Failure {
    let code = match &error {
        OrderOpenError::Corrupt(_) => ExitCode::Corrupt,
        _ => ExitCode::StorageFailed,
    };
    Failure::new(code, error)
}

/// Connections that may wait to be accepted. A burst beyond it is not refused but asked to try again, and a
/// client does that after a second; the kernel allows at most `net.core.somaxconn`, as a rule 4096.
const BACKLOG: u32 = 4096;

fn listen(address: std::net::SocketAddr, what: &str) -> Result<TcpListener, Failure> {
    let socket = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // What the process before left behind does not hold the port.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    socket().map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Failure::new(
            ExitCode::PortBusy,
            format!("the {what} port {address} is in use; choose another in [listen]"),
        ),
        _ => Failure::general(format!("cannot listen on the {what} port {address}: {error}")),
    })
}

fn addresses(
    config: &Config,
    genesis: &Genesis,
    me: Peer,
) -> Result<BTreeMap<Peer, String>, Failure> {
    let mut addresses = BTreeMap::new();
    for (index, validator) in (0..).zip(genesis.validators()) {
        match config.peers.get(&validator.name) {
            Some(address) if index != me => {
                addresses.insert(index, address.clone());
            }
            None if index != me => {
                let name = &validator.name;
                return Err(Failure::new(
                    ExitCode::Config,
                    format!(
                        "[peers] lacks {name}; {name} = \"host:port\" says where its mesh listens"
                    ),
                ));
            }
            Some(_) | None => {}
        }
    }
    Ok(addresses)
}

/// The OpenAPI document of the API that a node serves.
pub fn openapi() -> String {
    crate::api::openapi()
}

/// How trouble with the store ends a command.
pub(crate) fn store_failure(error: StoreError) -> Failure {
    let code = match &error {
        StoreError::Full { .. } => ExitCode::DiskFull,
        StoreError::Io { .. } => ExitCode::StorageFailed,
        StoreError::Corrupt { .. } => ExitCode::Corrupt,
        StoreError::Foreign(text) if text.contains("FORMAT_TOO_NEW") => ExitCode::FormatTooNew,
        StoreError::Foreign(_) => ExitCode::DataDirectory,
        StoreError::Unreachable(_) => ExitCode::StorageFailed,
    };
    Failure::new(code, error)
}

fn journal_failure(error: journal::JournalError) -> Failure {
    use journal::JournalError;
    let code = match &error {
        JournalError::Locked { .. } => ExitCode::SignStateLocked,
        JournalError::TooNew { .. } => ExitCode::FormatTooNew,
        JournalError::ForeignChain { .. } | JournalError::ForeignKey { .. } => {
            ExitCode::DataDirectory
        }
        JournalError::Missing { .. } | JournalError::Corrupt { .. } => ExitCode::Corrupt,
        JournalError::Disk { .. } => ExitCode::StorageFailed,
    };
    Failure::new(code, error)
}

fn fatal_failure(fatal: Fatal) -> Failure {
    let code = match &fatal {
        Fatal::DiskFull(_) => ExitCode::DiskFull,
        Fatal::Storage(_) | Fatal::Interrupted(_) => ExitCode::StorageFailed,
        Fatal::Corrupt(_) => ExitCode::Corrupt,
        Fatal::Safety(_) => ExitCode::SafetyViolated,
        Fatal::Bug(_) => ExitCode::Failed,
    };
    Failure::new(code, fatal)
}
