//! Which events a reader wants.

use cairn_ledger::ids::{PublicKey, TransactionId};

use super::events::Told;

/// What a transaction does, by its name: streams tell also of operations that the rules refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation(&'static str);

/// All that BigchainDB 2.x has.
const OPERATIONS: [&str; 5] =
    ["CREATE", "TRANSFER", "VALIDATOR_ELECTION", "CHAIN_MIGRATION_ELECTION", "VOTE"];

impl Operation {
    /// By its name, as transactions spell it.
    pub fn named(name: &str) -> Option<Self> {
        OPERATIONS.into_iter().find(|known| *known == name).map(Self)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0
    }
}

/// What is wanted. Values of one list are alternatives; each list that is not empty must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Transactions at all.
    pub transactions: bool,
    /// Blocks, after their transactions.
    pub blocks: bool,
    /// Refused transactions too.
    pub refused: bool,
    /// Of these assets.
    pub assets: Vec<TransactionId>,
    /// That do one of these.
    pub operations: Vec<Operation>,
    /// With one of these among the owners of inputs or outputs.
    pub owners: Vec<PublicKey>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            transactions: true,
            blocks: true,
            refused: false,
            assets: Vec::new(),
            operations: Vec::new(),
            owners: Vec::new(),
        }
    }
}

impl Filter {
    /// Committed transactions and nothing else: what BigchainDB streams.
    pub fn committed() -> Self {
        Self { blocks: false, ..Self::default() }
    }

    /// Whether a transaction is wanted.
    pub(super) fn wants(&self, told: &Told) -> bool {
        let Self { transactions, blocks: _, refused, assets, operations, owners } = self;
        *transactions
            && (told.committed || *refused)
            && (assets.is_empty() || told.asset.is_some_and(|asset| assets.contains(&asset)))
            && (operations.is_empty()
                || told.operation.is_some_and(|operation| operations.contains(&operation)))
            && (owners.is_empty() || told.owners.iter().any(|owner| owners.contains(owner)))
    }
}
