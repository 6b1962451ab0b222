//! Whether the federation can decide, as one validator sees it now. Pure: the mesh, the log and the
//! chain were asked before.

use cairn_ledger::{
    genesis::{Genesis, Validator},
    vote::is_quorum,
};

use crate::{mesh::Peer, order::Lead};

/// What a validator sees.
pub(super) struct Sight<'s> {
    pub(super) genesis: &'s Genesis,
    pub(super) me: Peer,
    /// Whether it votes itself.
    pub(super) voting: bool,
    /// Whom it can reach.
    pub(super) reachable: &'s [Peer],
    pub(super) lead: &'s Lead,
    /// What keeps it from reading and writing blocks.
    pub(super) trouble: Option<&'s str>,
}

/// Voting power that counts: that of who can be reached, and of this validator when it votes.
fn counted<'s>(sight: &'s Sight<'_>) -> impl Iterator<Item = (bool, &'s Validator)> {
    let Sight { genesis, me, voting, reachable, .. } = sight;
    (0..).zip(genesis.validators()).map(move |(peer, validator)| {
        (if peer == *me { *voting } else { reachable.contains(&peer) }, validator)
    })
}

/// Voting power within reach.
pub(super) fn power(sight: &Sight<'_>) -> u64 {
    counted(sight).filter(|(counts, _)| *counts).map(|(_, validator)| validator.power).sum()
}

/// How many of those within reach may be lost, the strongest first, before no quorum is left; -1 when
/// there is none.
pub(super) fn margin(sight: &Sight<'_>) -> i64 {
    let mut powers: Vec<_> =
        counted(sight).filter(|(counts, _)| *counts).map(|(_, it)| it.power).collect();
    powers.sort_unstable_by(|a, b| b.cmp(a));
    let (mut left, total) = (powers.iter().sum(), sight.genesis.total_power());
    let mut margin = -1;
    for power in powers {
        if !is_quorum(left, total) {
            break;
        }
        margin += 1;
        left -= power;
    }
    margin
}

/// Why the federation cannot decide, in one sentence; nothing when it can.
pub(super) fn missing(sight: &Sight<'_>) -> Option<String> {
    let Sight { genesis, reachable, lead, trouble, .. } = sight;
    if let Some(why) = trouble {
        return Some(format!("the store cannot be reached: {why}"));
    }
    let name = |peer: Peer| genesis.validators().get(usize::from(peer)).map_or("?", |v| &v.name);
    let (power, total) = (power(sight), genesis.total_power());
    if !is_quorum(power, total) {
        let absent = counted(sight).filter(|(counts, _)| !counts).map(|(_, it)| it.name.as_str());
        let absent = absent.collect::<Vec<_>>().join(", ");
        return Some(format!(
            "{power} of {total} voting power is within reach, more than two thirds are needed; missing: {absent}"
        ));
    }
    match lead {
        Lead::Here => None,
        Lead::There(leader) if reachable.contains(leader) => None,
        Lead::There(leader) => {
            Some(format!("{} leads the log and cannot be reached", name(*leader)))
        }
        Lead::Nobody(why) => Some(why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use cairn_ledger::{genesis::Validator, signature::SigningKey};

    use super::*;

    fn genesis(powers: &[u64]) -> Genesis {
        let validators = (0..).zip(powers).map(|(n, power)| Validator {
            name: char::from(b'a' + n).to_string(),
            consensus_key: SigningKey::from_seed([n + 1; 32]).public(),
            member_key: SigningKey::from_seed([n + 101; 32]).public(),
            power: *power,
        });
        Genesis::new("test".to_owned(), [0; 16], validators.collect()).unwrap()
    }

    #[test]
    fn a_quorum_is_power_within_reach_and_a_log_that_somebody_leads() {
        let (four, heavy, one) = (&[1, 1, 1, 1][..], &[1, 5, 1, 1][..], &[1][..]);
        let there = Lead::There;
        let nobody = || Lead::Nobody("the log has no leader".to_owned());
        #[rustfmt::skip]
        let table = [
            // powers, voting, reachable, lead, what is missing, how many may be lost
            (four,  true,  vec![1, 2, 3], Lead::Here, "",          1,  "all, and it leads"),
            (four,  true,  vec![1, 2],    there(2),   "",          0,  "three of four"),
            (four,  true,  vec![1, 3],    Lead::Here, "",          0,  "any three of four"),
            (four,  true,  vec![1],       there(1),   "2 of 4",    -1, "half is not enough"),
            (four,  true,  vec![3],       Lead::Here, "b, c",      -1, "who is missing is named"),
            (four,  false, vec![1, 2, 3], there(1),   "",          0,  "the others can without it"),
            (four,  false, vec![1, 2],    there(1),   "2 of 4",    -1, "its own vote does not come"),
            (four,  true,  vec![1, 2],    there(3),   "d leads",   0,  "the leader is out of reach"),
            (four,  true,  vec![1, 2],    nobody(),   "no leader", 0,  "votes alone order nothing"),
            (heavy, true,  vec![1],       there(1),   "",          0,  "power, not heads"),
            (heavy, true,  vec![1, 2, 3], there(1),   "",          0,  "the strongest is lost first"),
            (heavy, true,  vec![2, 3],    there(2),   "3 of 8",    -1, "heads, not power"),
            (one,   true,  vec![],        Lead::Here, "",          0,  "alone"),
            (one,   false, vec![],        Lead::Here, "0 of 1",    -1, "alone, without a key"),
            (&[1; 7], true, vec![1, 2, 3, 4, 5, 6], there(1), "",  2,  "two of seven"),
        ];
        for (powers, voting, reachable, lead, what, margin, why) in table {
            let genesis = &genesis(powers);
            let sight = |trouble| Sight {
                genesis,
                me: 0,
                voting,
                reachable: &reachable,
                lead: &lead,
                trouble,
            };
            assert_eq!(super::margin(&sight(None)), margin, "{why}");
            let missing = missing(&sight(None));
            assert_eq!(missing.is_some(), !what.is_empty(), "{why}: {missing:?}");
            assert!(missing.as_deref().unwrap_or("").contains(what), "{why}: {missing:?}");
            let stuck = super::missing(&sight(Some("no answer")));
            assert!(stuck.is_some_and(|why| why.contains("store")), "{why}");
        }
    }
}
