//! `Ready`: serving with a quorum, as the spec says, with nothing left to do. Derived from the other
//! conditions and from nothing else, so that the two can never contradict each other.

use super::conditions::{Fact, Truth};

/// The conditions that decide, and what each has to be. The first that is not gives `Ready` its reason.
const NEEDED: &[(&str, Truth)] = &[
    ("SpecValid", Truth::True),
    ("Suspended", Truth::False),
    ("Initialized", Truth::True),
    ("Available", Truth::True),
    ("Degraded", Truth::False),
    ("KeysAvailable", Truth::True),
    ("StorageHealthy", Truth::True),
    ("CertificatesValid", Truth::True),
    ("Progressing", Truth::False),
    ("MembershipChangePending", Truth::False),
];

/// Reasons of `Progressing=False` that are at rest; with any other, something waits.
const AT_REST: &[&str] = &["Settled", "Paused"];

/// Is it ready? What is known to be wrong says more than what is not known.
pub(super) fn ready(facts: &[Fact]) -> Fact {
    let wrong = |truth: fn(Truth, Truth) -> bool| {
        NEEDED.iter().find_map(|(name, needed)| {
            facts.iter().find(|fact| fact.name == *name && truth(fact.truth, *needed))
        })
    };
    if let Some(fact) = wrong(|is, needed| is != needed && is != Truth::Unknown) {
        return fact.renamed("Ready", Truth::False);
    }
    if let Some(fact) = wrong(|is, _| is == Truth::Unknown) {
        return fact.renamed("Ready", Truth::Unknown);
    }
    let waits = |fact: &&Fact| fact.name == "Progressing" && !AT_REST.contains(&fact.reason);
    if let Some(fact) = facts.iter().find(waits) {
        return fact.renamed("Ready", Truth::False);
    }
    Fact::new("Ready", Truth::True, "Ready", "serving with a quorum, as the spec says")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What has to hold, said once more: a row that goes missing above is missed here.
    #[rustfmt::skip]
    const HOLDS: &[(&str, Truth)] = &[
        ("SpecValid", Truth::True), ("Suspended", Truth::False), ("Initialized", Truth::True),
        ("Available", Truth::True), ("Degraded", Truth::False), ("KeysAvailable", Truth::True),
        ("StorageHealthy", Truth::True), ("CertificatesValid", Truth::True),
        ("Progressing", Truth::False), ("MembershipChangePending", Truth::False),
    ];

    /// Each alone, both ways, and the pairs whose order matters.
    #[test]
    fn ready_is_what_the_other_conditions_say() {
        let good = || {
            let fact = |(name, truth): &(&'static str, Truth)| Fact::new(name, *truth, "Fine", "");
            let mut facts: Vec<Fact> = HOLDS.iter().map(fact).collect();
            set(&mut facts, "Progressing", Truth::False, "Settled");
            facts
        };
        assert_eq!(ready(&good()).truth, Truth::True);
        for (name, needed) in HOLDS {
            let opposite = if *needed == Truth::True { Truth::False } else { Truth::True };
            for (truth, expected) in [(opposite, Truth::False), (Truth::Unknown, Truth::Unknown)] {
                let mut facts = good();
                set(&mut facts, name, truth, "Why");
                let ready = ready(&facts);
                assert_eq!((ready.truth, ready.reason), (expected, "Why"), "{name} {truth:?}");
            }
        }
        #[rustfmt::skip]
        let table = [ // conditions that are not as they should be, what Ready says, why
            (&[("Progressing", Truth::False, "AwaitingApproval")][..], Truth::False, "AwaitingApproval", "not at spec"),
            (&[("Progressing", Truth::False, "Paused")], Truth::True, "Ready", "paused says nothing against it"),
            (&[("Available", Truth::Unknown, "A"), ("Degraded", Truth::True, "B")], Truth::False, "B", "the known first"),
            (&[("Available", Truth::False, "A"), ("Degraded", Truth::True, "B")], Truth::False, "A", "the worst first"),
            (&[("QuorumAtRisk", Truth::True, "A")], Truth::True, "Ready", "a federation of three is always at risk"),
        ];
        for (changes, truth, reason, why) in table {
            let mut facts = good();
            facts.push(Fact::new("QuorumAtRisk", Truth::False, "Fine", ""));
            for (name, truth, reason) in changes {
                set(&mut facts, name, *truth, reason);
            }
            let ready = ready(&facts);
            assert_eq!((ready.truth, ready.reason), (truth, reason), "{why}");
        }
    }

    fn set(facts: &mut [Fact], name: &str, truth: Truth, reason: &'static str) {
        let fact = facts.iter_mut().find(|fact| fact.name == name).expect("it is there");
        *fact = Fact::new(fact.name, truth, reason, "");
    }
}
