//! The program around [`reconcile`](crate::reconcile::reconcile): watches, leader election, the admin
//! port, signals.

use crate::{
    apply::{Applied, ApplyError},
    crd::{BlockchainCluster, BlockchainClusterStatus},
    observe::Observed,
    plan::{Plan, audit::Violation},
};

/// What a pass needs of the world.
pub struct Context {}

/// Why a pass has to be tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The API server did not answer, or not as it should.
    #[error("cannot {doing}: {source}")]
    Kubernetes {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// A step was not carried out.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The plan broke a rule: a bug of the operator, which did nothing.
    #[error("this is a bug of the operator, nothing was changed: {0}")]
    Audit(#[from] Violation),
}

impl Context {
    pub(crate) async fn observe(
        &self,
        _cluster: &BlockchainCluster,
    ) -> Result<Observed, ReconcileError> {
        std::future::pending().await
    }

    pub(crate) async fn apply(&self, _cluster: &BlockchainCluster, _plan: &Plan) -> Applied {
        Applied::default()
    }

    pub(crate) async fn publish(
        &self,
        _cluster: &BlockchainCluster,
        _status: BlockchainClusterStatus,
    ) -> Result<(), ReconcileError> {
        Ok(())
    }
}
