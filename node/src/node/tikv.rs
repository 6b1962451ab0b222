//! What a node does with a TiKV cluster: finds it, takes its prefix for the chain, opens log and store in it,
//! and sees to it that old versions go.

use std::{path::Path, sync::Arc, time::Duration};

use cairn_ledger::{
    genesis::Genesis,
    ids::{ChainId, Position},
};
use cairn_tikv::{Called, ClaimError, Client, Settings, Space, TlsFiles, Trouble};

use super::store_failure;
use crate::{
    clock::Stopwatch,
    config::TikvConfig,
    exit::{ExitCode, Failure},
    mesh::{Channel, Mesh, Peer},
    metrics::Metrics,
    order::{
        Order,
        forward::Transport,
        tikv::{Tikv as TikvOrder, TikvConfig as OrderConfig},
    },
    store::{Store, StoreError, tikv::TikvStore},
};

/// How long a starting node waits for a cluster that does not answer, before it ends and leaves
/// it to whoever starts it to try again.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// How often old versions are looked after, by one validator for all.
const COLLECT_EVERY: Duration = Duration::from_secs(600);
/// Versions younger than this stay: no read takes longer.
const COLLECT_AFTER: Duration = Duration::from_secs(600);

/// The keys of this federation's chain in a TiKV cluster.
#[derive(Clone, Debug)]
pub(super) struct Tikv {
    space: Space,
}

impl Tikv {
    /// Connects, and takes the prefix for the chain.
    pub(super) fn open(
        config: &TikvConfig,
        chain: ChainId,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Failure> {
        let tls = config.tls.as_ref().map(|tls| TlsFiles {
            authority: tls.ca_file.clone(),
            certificate: tls.certificate_file.clone(),
            key: tls.key_file.clone(),
        });
        let settings = Settings { tls, ..Settings::of(config.pd.clone()) };
        let calls = metrics.tikv_calls.clone();
        let observer = move |called: &Called| {
            calls.with_label_values(&[called.kind, called.outcome]).observe(called.seconds);
        };
        let client = Client::open_observed(settings, Arc::new(observer))
            .map_err(|error| Failure::new(ExitCode::Config, format!("[tikv]: {error}")))?;
        let (started, mut said) = (Stopwatch::start(), false);
        loop {
            let prefix = config.prefix.clone();
            let claimed = client
                .wait(move |client| async move { Space::claim(client, &prefix, chain.0).await });
            match claimed {
                Ok(space) => return Ok(Self { space }),
                Err(ClaimError::Trouble(Trouble::Unreachable(why)))
                    if started.elapsed() < PATIENCE =>
                {
                    if !std::mem::replace(&mut said, true) {
                        tracing::warn!(pd = config.pd.join(","), why, "waits for TiKV");
                    }
                    std::thread::sleep(PAUSE);
                }
                Err(error) => return Err(claim_failure(&error)),
            }
        }
    }

    /// The store of one validator.
    pub(super) fn store(
        &self,
        directory: &Path,
        genesis: &Arc<Genesis>,
        validator: &str,
    ) -> Result<Arc<dyn Store>, Failure> {
        let (started, mut said) = (Stopwatch::start(), false);
        loop {
            let space = self.space.clone();
            match TikvStore::open(space, directory, Arc::clone(genesis), validator) {
                Ok(store) => return Ok(Arc::new(store)),
                Err(StoreError::Unreachable(why)) if started.elapsed() < PATIENCE => {
                    if !std::mem::replace(&mut said, true) {
                        tracing::warn!(why, "waits for TiKV");
                    }
                    // What is known to be away answers at once.
                    std::thread::sleep(PAUSE);
                }
                Err(error) => return Err(store_failure(error)),
            }
        }
    }

    /// The log, served on the mesh. Up to `after` this validator's blocks have it already.
    pub(super) fn order(
        &self,
        genesis: &Genesis,
        me: Peer,
        after: Position,
        mesh: &Arc<Mesh>,
    ) -> Arc<dyn Order> {
        let (order, service) = TikvOrder::open(OrderConfig {
            space: self.space.clone(),
            chain: genesis.chain(),
            me,
            validators: u16::try_from(genesis.validators().len())
                .expect("a genesis has at most 128 validators"),
            after,
            transport: Arc::clone(mesh) as Arc<dyn Transport>,
        });
        mesh.serve(Channel::Order, service);
        order
    }

    /// Has old versions collected now and then, for as long as the node runs.
    pub(super) async fn collect_garbage(self) {
        loop {
            tokio::time::sleep(COLLECT_EVERY / 10).await;
            let client = self.space.client();
            if let Err(trouble) = client.housekeep(&self.space, COLLECT_EVERY, COLLECT_AFTER).await
            {
                tracing::debug!(error = %trouble, "old versions were not collected");
            }
        }
    }
}

fn claim_failure(error: &ClaimError) -> Failure {
    let code = match error {
        ClaimError::Foreign(_) | ClaimError::TooOld { .. } => ExitCode::DataDirectory,
        ClaimError::TooNew { .. } => ExitCode::FormatTooNew,
        ClaimError::Name(_) => ExitCode::Config,
        ClaimError::Trouble(_) => ExitCode::StorageFailed,
    };
    Failure::new(code, error)
}
