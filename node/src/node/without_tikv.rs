//! What a node that was built without TiKV says when it is asked for it.

use std::{path::Path, sync::Arc};

use cairn_ledger::{
    genesis::Genesis,
    ids::{ChainId, Position},
};

use crate::{
    config::TikvConfig,
    exit::{ExitCode, Failure},
    mesh::{Mesh, Peer},
    metrics::Metrics,
    order::Order,
    store::Store,
};

/// Never made.
#[derive(Clone, Debug)]
pub(super) enum Tikv {}

impl Tikv {
    pub(super) fn open(
        _config: &TikvConfig,
        _chain: ChainId,
        _metrics: &Arc<Metrics>,
    ) -> Result<Self, Failure> {
        Err(Failure::new(
            ExitCode::Config,
            "[tikv]: this cairn was built without TiKV; one built with `--features tikv` would be fine, or order = \"raft\" and store = \"embedded\"",
        ))
    }

    pub(super) fn store(
        &self,
        _directory: &Path,
        _genesis: &Arc<Genesis>,
        _validator: &str,
    ) -> Result<Arc<dyn Store>, Failure> {
        match *self {}
    }

    pub(super) fn order(
        &self,
        _genesis: &Genesis,
        _me: Peer,
        _after: Position,
        _mesh: &Arc<Mesh>,
    ) -> Arc<dyn Order> {
        match *self {}
    }

    pub(super) async fn collect_garbage(self) {
        match self {}
    }
}
