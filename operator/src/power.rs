//! Voting power: who holds how much of it, and when that is enough to decide.

use std::collections::BTreeMap;

use cairn_ledger::genesis::Genesis;

/// The voting power of each validator of the genesis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Power {
    of: BTreeMap<String, u64>,
    /// All of it.
    pub total: u64,
}

impl Power {
    /// As the genesis gives it.
    #[must_use]
    pub fn of(genesis: &Genesis) -> Self {
        let of = genesis.validators().iter().map(|v| (v.name.clone(), v.power)).collect();
        Self { of, total: genesis.total_power() }
    }

    /// That of one validator; nothing when it is not in the genesis.
    #[must_use]
    pub fn held_by(&self, validator: &str) -> u64 {
        self.of.get(validator).copied().unwrap_or(0)
    }

    /// Validators by name, with their power.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.of.iter().map(|(name, power)| (name.as_str(), *power))
    }

    /// Whether so much is enough: strictly more than two thirds.
    #[must_use]
    pub fn is_quorum(&self, votes: u64) -> bool {
        u128::from(votes) * 3 > u128::from(self.total) * 2
    }

    /// The least that is enough.
    #[must_use]
    pub fn needed(&self) -> u64 {
        // The total is at most a quarter of what a u64 holds: twice that fits.
        self.total * 2 / 3 + 1
    }

    /// How much may lie or be lost, and the rest still decides and is right.
    #[must_use]
    pub fn tolerated(&self) -> u64 {
        self.total.saturating_sub(1) / 3
    }
}
