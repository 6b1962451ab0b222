//! What was asked for: `cairn.toml` as people write it, overridden by the environment and by
//! flags, then checked. A [`Config`] is known to be well-formed; whether its files and ports are there is
//! for whoever starts the node to find out.

use std::{
    collections::BTreeMap,
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::{
    api::access::line_of,
    exit::{ExitCode, Failure},
    intake::IntakeLimits,
    streams::StreamLimits,
    traces::TraceSettings,
};

mod api;
mod tikv;
mod traces;

pub use api::ApiConfig;
pub use tikv::{TikvConfig, TikvTls};

/// Which log orders the transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OrderKind {
    /// Replicated by Raft over the validators.
    Raft,
    /// In this process: for a chain of one validator.
    Memory,
    /// In a TiKV cluster, for ledgers that outgrow one machine.
    Tikv,
}

impl fmt::Display for OrderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raft => "raft",
            Self::Memory => "memory",
            Self::Tikv => "tikv",
        })
    }
}

/// Where blocks and the state after them are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// In files of this validator's own volume, unspent outputs in memory.
    Embedded,
    /// In a TiKV cluster, for ledgers that outgrow one machine.
    Tikv,
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded",
            Self::Tikv => "tikv",
        })
    }
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// Where this validator listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The HTTP API and its WebSocket streams.
    pub api: SocketAddr,
    /// The second port for WebSocket streams, as BigchainDB has it.
    pub api_events: SocketAddr,
    /// Health, metrics, administration.
    pub admin: SocketAddr,
    /// The other validators.
    pub mesh: SocketAddr,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// This validator's name in the genesis record.
    pub name: String,
    /// The directory of the configuration file: where the running process leaves its id, as `pid`.
    pub home: PathBuf,
    /// Where everything that this validator must not lose is.
    pub data: PathBuf,
    /// The genesis file.
    pub genesis: PathBuf,
    /// The member's private key.
    pub member_key: PathBuf,
    /// Where it listens.
    pub listen: Listen,
    /// Who may come in by the API's ports, and what that may cost.
    pub api: ApiConfig,
    /// Where the other validators listen for the mesh, by name, as host:port.
    pub peers: BTreeMap<String, String>,
    /// Which log.
    pub order: OrderKind,
    /// Which store.
    pub store: StoreKind,
    /// The TiKV cluster; there whenever log or store are in one.
    pub tikv: Option<TikvConfig>,
    /// How much may wait for a decision.
    pub intake: IntakeLimits,
    /// Most event streams at a time.
    pub streams: usize,
    /// Where the days of some transactions go; nobody is followed without.
    pub traces: Option<TraceSettings>,
    /// What is logged: a level, or tracing's directives.
    pub log: String,
    /// What a line of it looks like.
    pub log_format: LogFormat,
    /// Whether this validator makes its own keys before its chain is founded, and waits for the
    /// genesis.
    pub create_keys: bool,
}

/// Flags and environment variables that win over the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Overrides {
    /// Directory for keys, journal, blocks and log
    #[arg(long, env = "CAIRN_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Genesis file
    #[arg(long, env = "CAIRN_GENESIS", value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// File with the member's private key
    #[arg(long, env = "CAIRN_MEMBER_KEY", value_name = "FILE")]
    pub member_key: Option<PathBuf>,
    /// Where the HTTP API listens
    #[arg(long, env = "CAIRN_API", value_name = "IP:PORT")]
    pub api: Option<String>,
    /// Where the second WebSocket port listens
    #[arg(long, env = "CAIRN_API_EVENTS", value_name = "IP:PORT")]
    pub api_events: Option<String>,
    /// Where health and metrics listen
    #[arg(long, env = "CAIRN_ADMIN", value_name = "IP:PORT")]
    pub admin: Option<String>,
    /// Where the other validators connect
    #[arg(long, env = "CAIRN_MESH", value_name = "IP:PORT")]
    pub mesh: Option<String>,
    /// Which log orders the transactions
    #[arg(long, env = "CAIRN_ORDER")]
    pub order: Option<OrderKind>,
    /// Where blocks and the state after them are
    #[arg(long, env = "CAIRN_STORE")]
    pub store: Option<StoreKind>,
    /// What is logged: error, warn, info, debug, trace, or directives like "info,cairn_node=debug"
    #[arg(long, env = "CAIRN_LOG", value_name = "LEVEL")]
    pub log: Option<String>,
    /// What a line of the log looks like
    #[arg(long, env = "CAIRN_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Collector that traces go to, as OTLP over HTTP; empty for none
    #[arg(long, env = "CAIRN_TRACES_ENDPOINT", value_name = "URL")]
    pub traces_endpoint: Option<String>,
    /// Share of the transactions whose day becomes a trace: 0 to 1
    #[arg(long, env = "CAIRN_TRACES_SAMPLE", value_name = "SHARE")]
    pub traces_sample: Option<String>,
    /// Headers for the collector; others see flags, so the variable is the better place
    #[arg(long, env = "CAIRN_TRACES_HEADERS", hide_env_values = true, value_name = "NAME=VALUE,…")]
    pub traces_headers: Option<String>,
    /// Before the chain is founded: make the keys that are missing, and wait for the genesis file
    #[arg(
        long,
        env = "CAIRN_CREATE_KEYS",
        value_name = "BOOL",
        value_parser = clap::builder::BoolishValueParser::new(),
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub create_keys: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    data: PathBuf,
    genesis: PathBuf,
    member_key: PathBuf,
    #[serde(default)]
    listen: WrittenListen,
    #[serde(default)]
    api: api::Written,
    #[serde(default)]
    peers: BTreeMap<String, String>,
    #[serde(default)]
    order: Option<OrderKind>,
    #[serde(default)]
    store: Option<StoreKind>,
    #[serde(default)]
    tikv: Option<tikv::Written>,
    #[serde(default)]
    intake: WrittenIntake,
    #[serde(default)]
    streams: WrittenStreams,
    #[serde(default)]
    traces: traces::Written,
    #[serde(default)]
    log: Option<String>,
    #[serde(default)]
    log_format: Option<LogFormat>,
    #[serde(default)]
    create_keys: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenListen {
    api: Option<String>,
    api_events: Option<String>,
    admin: Option<String>,
    mesh: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenIntake {
    transactions: Option<usize>,
    bytes: Option<usize>,
    patience_s: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStreams {
    most: Option<usize>,
}

/// More than one process has files for, mostly; what is beyond was a slip of the hand.
const STREAMS_MAX: usize = 100_000;

impl Config {
    /// Reads and checks the file; paths in it are relative to its directory.
    ///
    /// # Errors
    /// A sentence that names file and field and says what would be fine.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self, Failure> {
        let fail =
            |why: String| Failure::new(ExitCode::Config, format!("{}: {why}", path.display()));
        let text = fs::read_to_string(path)
            .map_err(|error| fail(format!("cannot be read: {error}; --config names the file")))?;
        let base = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, base, overrides).map_err(fail)
    }

    fn parse(text: &str, base: &Path, overrides: &Overrides) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|error| line_of(text, &error))?;
        let Written {
            name,
            data,
            genesis,
            member_key,
            listen,
            api,
            peers,
            order,
            store,
            tikv,
            intake,
            streams,
            traces,
            log,
            log_format,
            create_keys,
        } = written;
        check_name("name", &name)?;
        for (peer, address) in &peers {
            check_name("peers", peer)?;
            check_host_port(&format!("peers.{peer}"), address)?;
        }
        let listen = Listen {
            api: listens("listen.api", &overrides.api, listen.api, 9984)?,
            api_events: listens(
                "listen.api_events",
                &overrides.api_events,
                listen.api_events,
                9985,
            )?,
            admin: listens("listen.admin", &overrides.admin, listen.admin, 9986)?,
            mesh: listens("listen.mesh", &overrides.mesh, listen.mesh, 9987)?,
        };
        check_distinct(&listen)?;
        let log = overrides.log.clone().or(log).unwrap_or_else(|| "info".to_owned());
        tracing_subscriber::EnvFilter::try_new(&log)
            .map_err(|_| format!("log: {log:?} is no level; info is one"))?;
        let order = overrides.order.or(order).unwrap_or(OrderKind::Raft);
        let store = overrides.store.or(store).unwrap_or(StoreKind::Embedded);
        let tikv = tikv.map(|tikv| tikv.checked(base)).transpose()?;
        if tikv.is_none() && (order == OrderKind::Tikv || store == StoreKind::Tikv) {
            return Err(format!(
                "order is \"{order}\" and store is \"{store}\", and [tikv] is missing; [tikv] with pd = [\"host:2379\"] says where it is"
            ));
        }
        // A path given as a flag is relative to where the command runs, as everywhere.
        let file = |flag: &Option<PathBuf>, written: PathBuf| {
            flag.clone().unwrap_or_else(|| base.join(written))
        };
        Ok(Self {
            name,
            home: base.to_owned(),
            data: file(&overrides.data, data),
            genesis: file(&overrides.genesis, genesis),
            member_key: file(&overrides.member_key, member_key),
            listen,
            api: api.checked(base)?,
            peers,
            order,
            store,
            tikv,
            intake: intake.checked()?,
            streams: streams.checked()?,
            traces: traces.checked(base, overrides)?,
            log,
            log_format: overrides.log_format.or(log_format).unwrap_or(LogFormat::Text),
            create_keys: overrides.create_keys.unwrap_or(create_keys),
        })
    }
}

impl WrittenIntake {
    fn checked(self) -> Result<IntakeLimits, String> {
        let Self { transactions, bytes, patience_s } = self;
        let usual = IntakeLimits::default();
        let transactions = transactions.unwrap_or(usual.transactions);
        let bytes = bytes.unwrap_or(usual.bytes);
        let least = cairn_ledger::limits::TRANSACTION_BYTES_MAX;
        if transactions == 0 {
            return Err("intake.transactions: 0 takes nothing in; 1 or more are fine".to_owned());
        }
        if bytes < least {
            return Err(format!(
                "intake.bytes: {bytes} is less than one transaction; {least} or more are fine"
            ));
        }
        let patience = match patience_s {
            None => usual.patience,
            Some(seconds @ 1..=86_400) => Duration::from_secs(seconds),
            Some(other) => {
                return Err(format!("intake.patience_s: {other}; 1 to 86400 seconds are fine"));
            }
        };
        Ok(IntakeLimits { transactions, bytes, patience })
    }
}

impl WrittenStreams {
    fn checked(self) -> Result<usize, String> {
        match self.most {
            None => Ok(StreamLimits::default().streams),
            Some(most @ 1..=STREAMS_MAX) => Ok(most),
            Some(other) => Err(format!("streams.most: {other}; 1 to {STREAMS_MAX} are fine")),
        }
    }
}

fn listens(
    field: &str,
    flag: &Option<String>,
    written: Option<String>,
    port: u16,
) -> Result<SocketAddr, String> {
    let Some(text) = flag.clone().or(written) else {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    };
    text.parse().map_err(|_| {
        format!("{field}: {text:?} is no IP address and port; \"127.0.0.1:{port}\" is fine")
    })
}

fn check_distinct(listen: &Listen) -> Result<(), String> {
    let all = [
        ("listen.api", listen.api),
        ("listen.api_events", listen.api_events),
        ("listen.admin", listen.admin),
        ("listen.mesh", listen.mesh),
    ];
    for (at, (field, address)) in all.iter().enumerate() {
        let twice = all[..at].iter().find(|(_, other)| other == address && address.port() != 0);
        if let Some((other, _)) = twice {
            return Err(format!(
                "{field}: {address} is that of {other} too; each needs its own port"
            ));
        }
    }
    Ok(())
}

/// Whether it is a DNS label (RFC 1123), as names of validators are.
pub(crate) fn is_dns_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| inner(*byte) || *byte == b'-')
        && inner(bytes[0])
        && inner(bytes[bytes.len() - 1])
}

fn check_name(field: &str, name: &str) -> Result<(), String> {
    if is_dns_label(name) {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    Err(format!(
        "{field}: {shown:?} is no name; 1 to 63 of a-z, 0-9 and -, not - at either end, are fine"
    ))
}

fn check_host_port(field: &str, address: &str) -> Result<(), String> {
    let sound = address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if sound {
        Ok(())
    } else {
        Err(format!("{field}: {address:?} is no host:port; \"bob.example:9987\" is fine"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "name = 'alice'\ndata = 'data'\ngenesis = '../genesis.json'\nmember_key = '/keys/alice.key'\n";

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/etc/cairn"), &Overrides::default())
    }

    #[test]
    fn what_is_not_written_has_a_default() {
        let config = parse(LEAST).unwrap();
        assert_eq!(config.data, Path::new("/etc/cairn/data"), "relative to the file");
        assert_eq!(config.member_key, Path::new("/keys/alice.key"), "or absolute");
        assert_eq!(config.listen.api.to_string(), "127.0.0.1:9984");
        assert_eq!(config.listen.mesh.to_string(), "127.0.0.1:9987");
        assert_eq!((config.order, config.log.as_str()), (OrderKind::Raft, "info"));
        assert!(config.peers.is_empty());
        assert_eq!(config.streams, 2048);
        assert_eq!((config.store, config.tikv), (StoreKind::Embedded, None));
        assert_eq!((config.log_format, config.create_keys), (LogFormat::Text, false));
    }

    #[test]
    fn what_is_written_counts_and_flags_win() {
        let text = format!(
            "{LEAST}order = 'memory'\nlog = 'warn'\nlog_format = 'json'\ncreate_keys = true\n[listen]\napi = '0.0.0.0:80'\n[peers]\nbob = 'bob.example:9987'\n[intake]\ntransactions = 5\npatience_s = 7\n[api]\nadvertised_streams_url = 'wss://a.example/b'\n"
        );
        let config = parse(&text).unwrap();
        assert_eq!(config.listen.api.to_string(), "0.0.0.0:80");
        assert_eq!(config.peers["bob"], "bob.example:9987");
        assert_eq!(config.intake.transactions, 5);
        assert_eq!(config.api.advertised_streams_url.as_deref(), Some("wss://a.example/b"));
        assert_eq!(config.intake.patience, Duration::from_secs(7));
        assert_eq!((config.order, config.log.as_str()), (OrderKind::Memory, "warn"));
        assert_eq!((config.log_format, config.create_keys), (LogFormat::Json, true));
        let overrides = Overrides {
            data: Some("here".into()),
            api: Some("127.0.0.1:1".to_owned()),
            order: Some(OrderKind::Raft),
            log: Some("debug".to_owned()),
            log_format: Some(LogFormat::Text),
            create_keys: Some(false),
            ..Overrides::default()
        };
        let config = Config::parse(&text, Path::new("/etc/cairn"), &overrides).unwrap();
        assert_eq!(config.data, Path::new("here"), "as typed");
        assert_eq!(config.listen.api.to_string(), "127.0.0.1:1");
        assert_eq!((config.order, config.log.as_str()), (OrderKind::Raft, "debug"));
        assert_eq!((config.log_format, config.create_keys), (LogFormat::Text, false));
    }

    #[test]
    fn a_tikv_cluster_has_endpoints_and_a_prefix() {
        let text = format!(
            "{LEAST}order = 'tikv'\nstore = 'tikv'\n[tikv]\npd = ['pd-0:2379', 'pd-1:2379']\n[tikv.tls]\nca_file = 'ca.pem'\ncertificate_file = 'c.pem'\nkey_file = '/keys/k.pem'\n"
        );
        let config = parse(&text).unwrap();
        assert_eq!((config.order, config.store), (OrderKind::Tikv, StoreKind::Tikv));
        let tikv = config.tikv.unwrap();
        assert_eq!((tikv.pd.len(), tikv.prefix.as_str(), tikv.collect_garbage), (2, "cairn", true));
        let tls = tikv.tls.unwrap();
        assert_eq!(tls.ca_file, Path::new("/etc/cairn/ca.pem"), "relative to the file");
        assert_eq!(tls.key_file, Path::new("/keys/k.pem"), "or absolute");
    }

    #[test]
    fn traces_go_where_somebody_says_and_nowhere_else() {
        let text = format!(
            "{LEAST}[traces]\nendpoint = 'https://collector.example:4318'\nca_file = 'ca.pem'\n[traces.headers]\nauthorization = 'Bearer hush'\n"
        );
        assert_eq!(parse(LEAST).unwrap().traces, None);
        assert_eq!(parse(&format!("{LEAST}[traces]\nsample = 0.5\n")).unwrap().traces, None);
        let config = parse(&text).unwrap();
        assert!(!format!("{config:?}").contains("hush"), "{config:?}");
        let traces = config.traces.unwrap();
        assert_eq!(
            (traces.endpoint.as_str(), traces.sample),
            ("https://collector.example:4318", 0.01)
        );
        assert_eq!(traces.headers[0].1, "Bearer hush");
        assert_eq!(traces.ca_file.unwrap(), Path::new("/etc/cairn/ca.pem"));
        let overrides = |endpoint: &str, sample: &str, headers: &str| {
            let some = |text: &str| Some(text.to_owned());
            let (traces_endpoint, traces_sample) = (some(endpoint), some(sample));
            let traces_headers = some(headers);
            Overrides { traces_endpoint, traces_sample, traces_headers, ..Overrides::default() }
        };
        let chosen = overrides("http://[::1]:4318/base", "1", "a=b, c=d=e");
        let traces = Config::parse(&text, Path::new("/"), &chosen).unwrap().traces.unwrap();
        assert_eq!((traces.endpoint.as_str(), traces.sample), ("http://[::1]:4318/base", 1.0));
        let pairs: Vec<_> =
            traces.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        assert_eq!(pairs, [("a", &b"b"[..]), ("c", b"d=e")]);
        let off = Config::parse(&text, Path::new("/"), &overrides("", "1", "")).unwrap();
        assert_eq!(off.traces, None, "a variable takes back what the file says");
        for (sample, headers) in
            [("much", ""), ("1.5", ""), ("NaN", ""), ("1", "hush"), ("1", "a b=hush")]
        {
            let chosen = overrides("http://a", sample, headers);
            let error = Config::parse(&text, Path::new("/"), &chosen).unwrap_err();
            assert!(error.contains("traces.") && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said_with_its_field() {
        #[rustfmt::skip]
        let table = [
            ("colour = 'red'",                       "colour",              "unknown field"),
            ("[listen]\nweb = 'x'",                  "web",                 "unknown field in a section"),
            ("[listen]\napi = 'localhost'",          "listen.api",          "no address"),
            ("[listen]\nadmin = '127.0.0.1:9984'",   "listen.admin",        "twice the same port"),
            ("[peers]\nBob = 'bob:1'",               "peers",               "no DNS label"),
            ("[peers]\nbob = 'bob'",                 "peers.bob",           "no port"),
            ("[peers]\nbob = 'bob:0'",               "peers.bob",           "port 0"),
            ("order = 'kafka'",                      "kafka",               "an order that is not there"),
            ("order = 'tikv'",                       "[tikv]",              "no cluster for the log"),
            ("store = 'tikv'",                       "[tikv]",              "no cluster for the store"),
            ("[tikv]\npd = []",                      "tikv.pd",             "no endpoint"),
            ("[tikv]\npd = ['pd']",                  "tikv.pd[0]",          "no port"),
            ("[tikv]\npd = ['pd:1']\nprefix = 'a/b'", "tikv.prefix",         "no name"),
            ("[tikv]\npd = ['pd:1']\n[tikv.tls]\nca_file = 'a'", "certificate_file", "half of TLS"),
            ("log = 'a=b=c'",                        "log",                 "no level"),
            ("log_format = 'xml'",                   "xml",                 "no such format"),
            ("create_keys = 'yes'",                  "boolean",             "a text, not a truth"),
            ("[intake]\ntransactions = 0",           "intake.transactions", "nothing fits"),
            ("[intake]\nbytes = 10",                 "intake.bytes",        "not one fits"),
            ("[intake]\npatience_s = 0",             "intake.patience_s",   "no patience"),
            ("[api]\nadvertised_streams_url = 'http://a'", "api.advertised_streams_url", "no WebSocket"),
            ("[api]\nadvertised_streams_url = 'ws:///a'",  "api.advertised_streams_url", "no host"),
            ("[api]\nadvertised_streams_url = 'ws://a b'", "api.advertised_streams_url", "a blank"),
            ("[traces]\nendpoint = 'collector:4318'",             "traces.endpoint", "no URL"),
            ("[traces]\nendpoint = 'grpc://collector:4317'",      "traces.endpoint", "another protocol"),
            ("[traces]\nendpoint = 'http://me:hush@collector'",   "traces.endpoint", "a password"),
            ("[traces]\nsample = 2",                 "traces.sample",       "no share"),
            ("[traces]\nsample = -0.1",              "traces.sample",       "no share"),
            ("[traces.headers]\n'a b' = 'c'",        "traces.headers",      "no name of a header"),
            ("[streams]\nmost = 0",                  "streams.most",        "no stream"),
            ("name = 'again'",                       "line 5",              "a key twice"),
        ];
        for (line, named, why) in table {
            let error = parse(&format!("{LEAST}{line}\n")).unwrap_err();
            assert!(error.contains(named), "{why}: {error}");
        }
        for name in ["", "-a", "a-", "A", "a.b", &"a".repeat(64)] {
            assert!(!is_dns_label(name), "{name}");
        }
        let missing = parse("name = 'alice'").unwrap_err();
        assert!(missing.contains("data"), "{missing}");
    }
}
