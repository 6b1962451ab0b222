//! The PodDisruptionBudget: how many validators a drain may take at a time.

use std::cmp::Reverse;

use serde_json::json;

use super::{is_stopped, local_parties, owned, parties};
use crate::{
    check::Checked,
    crd::DisruptionBudget,
    manifest::{Kind, Manifest},
    names::ANNOTATION_BECAUSE,
};

/// One budget for all validators of the cluster, unless it is switched off.
pub(super) fn budget(checked: &Checked) -> Option<Manifest> {
    match checked.spec.availability.pod_disruption_budget {
        DisruptionBudget::Disabled => return None,
        DisruptionBudget::Auto => {}
    }
    let total = parties(checked).iter().map(|party| party.power).sum();
    let (stopped, running): (Vec<_>, Vec<_>) =
        local_parties(checked).into_iter().partition(|party| is_stopped(checked, party.name));
    let stopped = stopped.iter().map(|party| party.power).sum();
    let running: Vec<u64> = running.iter().map(|party| party.power).collect();
    let most = most_unavailable(total, stopped, &running);
    let because = (most == 0).then(|| {
        format!("no validator may leave: more than 2/3 of the voting power of {total} has to stay")
    });
    let rest = json!({
        "metadata": { "annotations": because.map(|why| json!({ ANNOTATION_BECAUSE: why })) },
        "spec": {
            "maxUnavailable": most,
            "selector": { "matchLabels": checked.name.selector() },
        }
    });
    Some(owned(checked, Kind::PodDisruptionBudget, checked.name.name.clone(), None, rest))
}

/// How many of the running validators may leave at once, whichever they are, so that more than two thirds
/// of `total` go on. A budget counts pods and cannot weigh them: so the strongest are taken to leave first.
/// `stopped` is the power of those that are gone on purpose: the budget does not count their pods as missing.
fn most_unavailable(total: u64, stopped: u64, running: &[u64]) -> usize {
    let mut running = running.to_vec();
    running.sort_by_key(|power| Reverse(*power));
    let mut left = total.saturating_sub(stopped);
    running
        .iter()
        .take_while(|power| {
            left = left.saturating_sub(**power);
            u128::from(left) * 3 > u128::from(total) * 2
        })
        .count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_budget_is_what_the_rest_can_do_without() {
        #[rustfmt::skip]
        let table: [(u64, u64, &[u64], usize, &str); 9] = [
            (1, 0, &[1],                   0, "one alone"),
            (3, 0, &[1, 1, 1],             0, "two of three are not more than two thirds"),
            (4, 0, &[1, 1, 1, 1],          1, "the smallest that tolerates anything"),
            (6, 0, &[1; 6],                1, "four of six are exactly two thirds, which is too little"),
            (7, 0, &[1; 7],                2, "five of seven"),
            (7, 0, &[4, 1, 1, 1],          0, "the strongest might be the one"),
            (4, 0, &[1, 1],                1, "two of four are elsewhere"),
            (4, 1, &[1, 1, 1],             0, "one is fenced already"),
            (2, 2, &[],                    0, "all are suspended"),
        ];
        for (total, stopped, running, most, why) in table {
            assert_eq!(most_unavailable(total, stopped, running), most, "{why}");
        }
    }

    proptest! {
        #[test]
        fn whichever_leave_the_rest_decides_and_one_more_might_be_too_many(
            mut running in prop::collection::vec(1_u64..20, 0..8),
            elsewhere in 0_u64..40,
            stopped in 0_u64..20,
        ) {
            let total = running.iter().sum::<u64>() + elsewhere + stopped;
            let most = most_unavailable(total, stopped, &running);
            let decides = |gone: u64| (total - stopped - gone) * 3 > total * 2;
            for leaving in 0_u32..1 << running.len() {
                let gone = |(at, power): (usize, &u64)| if leaving >> at & 1 == 1 { *power } else { 0 };
                let gone = running.iter().enumerate().map(gone).sum();
                let few = leaving.count_ones() as usize <= most && leaving != 0;
                prop_assert!(!few || decides(gone), "{leaving:b} of {running:?} leave");
            }
            running.sort_unstable();
            let strongest: u64 = running.iter().rev().take(most + 1).sum();
            prop_assert!(most == running.len() || !decides(strongest), "{most} is too careful");
        }
    }
}
