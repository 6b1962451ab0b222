//! One pass over one cluster. Read it from top to bottom: it is the whole of what the operator does.

use std::{sync::Arc, time::Duration};

use kube::runtime::controller::Action;

use crate::{
    check::check,
    crd::BlockchainCluster,
    plan::{audit::audit, plan},
    report::{Outcome, report},
    run::{Context, ReconcileError},
};

/// How often a cluster is looked at when nothing happens: validators change without Kubernetes noticing.
const LOOK: Duration = Duration::from_secs(15);

/// Brings one cluster one step nearer to its spec, and says how it is.
///
/// # Errors
/// Trouble that is worth another try; the caller backs off.
pub async fn reconcile(
    cluster: Arc<BlockchainCluster>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let observed = context.observe(&cluster).await?;
    let checked = match check(&cluster, &observed) {
        Ok(checked) => checked,
        Err(refusals) => {
            let status = report(&cluster, &observed, &Outcome::Refused(&refusals));
            context.publish(&cluster, status).await?;
            return Ok(Action::requeue(LOOK));
        }
    };
    let plan = plan(&cluster, &checked, &observed);
    audit(&plan, &checked, &observed)?;
    let applied = context.apply(&cluster, &plan).await;
    let outcome = Outcome::Planned { checked: &checked, plan: &plan, applied: &applied };
    let status = report(&cluster, &observed, &outcome);
    context.publish(&cluster, status).await?;
    match applied.failed {
        Some((_, error)) => Err(ReconcileError::Apply(error)),
        None => Ok(Action::requeue(LOOK)),
    }
}
