//! `cairn-operator run`: flags, logs, signals, exit codes.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use tracing_subscriber::EnvFilter;

use super::{Operator, Settings};

/// Look after BlockchainClusters until SIGTERM or Ctrl-C
///
/// Several may run: one leads, by a Lease, the others stand by. The API server is found as kubectl finds it:
/// by $KUBECONFIG or ~/.kube/config, or by the pod's ServiceAccount.
///
/// Exit codes: 0 after a signal, 1 when it could not start, 2 when a flag makes no sense.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A namespace whose clusters are looked after; more with commas or by saying it again. All by default
    #[arg(long = "namespace", env = "CAIRN_NAMESPACES", value_delimiter = ',')]
    namespaces: Vec<String>,

    /// Image of validators when neither they nor their cluster name one. A cluster keeps the one it was made with
    #[arg(long, env = "CAIRN_DEFAULT_IMAGE", default_value = concat!("cairn:", env!("CARGO_PKG_VERSION")))]
    default_image: String,

    /// Namespace of the Lease. The pod's own by default
    #[arg(long, env = "CAIRN_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,

    /// Name of the Lease. Installations that look after different namespaces need different ones
    #[arg(long, env = "CAIRN_LEASE_NAME", default_value = "cairn-operator")]
    lease_name: String,

    /// Where /livez, /readyz and /metrics answer
    #[arg(long, env = "CAIRN_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,

    /// Clusters that are looked at at the same time
    #[arg(long, env = "CAIRN_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,

    /// Seconds in which a validator has to answer on its admin port
    #[arg(long, env = "CAIRN_PROBE_TIMEOUT", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=30))]
    probe_timeout: u64,

    /// Seconds after which a cluster is looked at again when nothing happened
    #[arg(long, env = "CAIRN_LOOK_INTERVAL", default_value_t = 30, value_parser = clap::value_parser!(u64).range(5..=600))]
    look_interval: u64,

    /// What is logged: error, warn, info, debug, or directives of `tracing`
    #[arg(long, env = "CAIRN_LOG", default_value = "info")]
    log: String,

    /// How a line of the log looks
    #[arg(long, env = "CAIRN_LOG_FORMAT", default_value = "json")]
    log_format: LogFormat,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For machines.
    Json,
    /// For people.
    Text,
}

impl Arguments {
    /// Runs, and says with which code the process ends.
    #[must_use]
    pub fn run(self) -> ExitCode {
        if let Err(sentence) = self.log() {
            eprintln!("{sentence}");
            return ExitCode::from(2);
        }
        // Two threads are enough for five hundred clusters, and one that is busy must not keep the Lease's
        // renewal waiting.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let ended = match runtime {
            Ok(runtime) => runtime.block_on(self.until_told()),
            Err(error) => Err(format!("cannot start: {error}")),
        };
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(sentence) => {
                eprintln!("{sentence}");
                ExitCode::FAILURE
            }
        }
    }

    async fn until_told(self) -> Result<(), String> {
        // They are heard from before anything that they would have to end.
        let mut terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
        let mut config = Config::infer()
            .await
            .map_err(|error| format!("cannot find the API server: {error}"))?;
        // A pass that fails is tried again as a whole, and not after another process has taken over.
        config.default_retry = false;
        let settings = self.settings(&config.default_namespace);
        let client = Client::try_from(config)
            .map_err(|error| format!("cannot reach the API server: {error}"))?;
        let version = env!("CARGO_PKG_VERSION");
        info!(version, identity = settings.identity, image = settings.default_image, "starts");
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => info!("SIGTERM: ends"),
                _ = interrupt.recv() => info!("SIGINT: ends"),
            }
        };
        Operator::new(&client, settings).run(stop).await.map_err(|error| error.to_string())
    }

    fn settings(self, own_namespace: &str) -> Settings {
        let namespace = self.lease_namespace.unwrap_or_else(|| own_namespace.to_owned());
        let host = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME"));
        let host = host.unwrap_or_else(|_| "cairn-operator".into());
        Settings {
            namespaces: self.namespaces.into_iter().filter(|name| !name.is_empty()).collect(),
            default_image: self.default_image,
            concurrency: usize::from(self.concurrency),
            probe_wait: Duration::from_secs(self.probe_timeout),
            look: Duration::from_secs(self.look_interval),
            lease: (namespace, self.lease_name),
            listen: Some(self.listen),
            identity: Settings::identity(&host),
        }
    }

    fn log(&self) -> Result<(), String> {
        // The client logs each failed request, and the pass that made it says the same in its own words.
        // Directives that name a library are the user's to give.
        let quiet = if self.log.contains('=') { "" } else { ",kube_client=off" };
        let filter = EnvFilter::try_new(format!("{}{quiet}", self.log))
            .map_err(|error| format!("--log {:?} is not understood: {error}", self.log))?;
        let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Json => lines.json().flatten_event(true).init(),
            LogFormat::Text => lines.init(),
        }
        Ok(())
    }
}
