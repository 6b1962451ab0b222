//! One pass over one cluster. Read it from top to bottom: it is the whole of what the operator does.

use crate::{
    check::{Checked, Refusal, check},
    crd::BlockchainCluster,
    names::ClusterName,
    observe::Observed,
    plan::{Plan, audit::audit, plan},
    report::{Outcome, report},
    run::{Context, ReconcileError, queue::Pass},
};

/// Brings one cluster one step nearer to its spec, and says how it is.
///
/// # Errors
/// Trouble that is worth another try; the caller backs off.
pub async fn reconcile(name: &ClusterName, context: &Context) -> Result<Pass, ReconcileError> {
    if let Some(pass) = context.still_rests(name).await {
        return Ok(pass);
    }
    let Some((mut cluster, mut observed)) = context.observe(name).await? else {
        return Ok(Pass::Over);
    };
    let mut planned = decide(&cluster, &observed);
    if planned.as_ref().is_ok_and(|(_, plan)| plan.is_disruptive()) {
        // What stops a validator is decided by what is there now: the watches may be behind.
        let Some(fresh) = context.observe_fresh(name).await? else { return Ok(Pass::Over) };
        (cluster, observed) = fresh;
        planned = decide(&cluster, &observed);
    }
    let (checked, plan) = match planned {
        Ok(planned) => planned,
        Err(refusals) => {
            let status = report(&cluster, &observed, &Outcome::Refused(&refusals));
            context.publish(name, &cluster, status).await?;
            return Ok(context.look_again(None));
        }
    };
    audit(&plan, &checked, &observed)?;
    let applied = context.apply(name, &observed, &plan).await;
    let outcome = Outcome::Planned { checked: &checked, plan: &plan, applied: &applied };
    let status = report(&cluster, &observed, &outcome);
    let told = context.publish(name, &cluster, status).await?;
    let progress = !applied.done.is_empty();
    match applied.failed {
        Some((_, error)) => Err(ReconcileError::Apply { error, progress }),
        None if told || progress => Ok(Pass::Written),
        None => Ok(context.rests(name, &cluster, &observed, &plan.progress)),
    }
}

/// Can the spec be run, and what should be written next?
fn decide(
    cluster: &BlockchainCluster,
    observed: &Observed,
) -> Result<(Checked, Plan), Vec<Refusal>> {
    let checked = check(cluster, observed)?;
    let plan = plan(cluster, &checked, observed);
    Ok((checked, plan))
}
