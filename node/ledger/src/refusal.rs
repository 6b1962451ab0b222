//! Every "no" that a client can hear: the client's to fix, and the same on every validator.

use crate::{
    ids::{PublicKey, TransactionId},
    json::{JsonError, cut},
    limits::{INPUTS_MAX, OUTPUTS_MAX, REFUSAL_BYTES_MAX, TRANSACTION_BYTES_MAX},
};

/// What the schema has against a transaction: decides the code, not the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchemaFault {
    /// A field that must be there is not.
    Missing,
    /// A field that nobody knows.
    Unknown,
    /// A value of another type.
    Type,
    /// A value of the right type that is none of those allowed.
    Value,
    /// An amount that is not spelled as one.
    Amount,
    /// A threshold or nesting out of bounds.
    ConditionLimit,
    /// A public key that is not spelled as one.
    Key,
}

/// Why a transaction is turned away.
///
/// `Display` is upstream's text where BigchainDB 2.x has one; [`Refusal::class`] is the
/// class name that v1 puts before it; [`Refusal::code`] is v2's stable code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Larger than a transaction may be.
    #[error("the transaction has {size} bytes, at most {TRANSACTION_BYTES_MAX} fit")]
    TooLarge {
        /// Its bytes.
        size: usize,
    },
    /// Not JSON, or JSON that means two things.
    #[error(transparent)]
    Json(JsonError),
    /// There is nothing to check the hash against.
    #[error("No transaction id found!")]
    IdMissing,
    /// The id does not name this transaction.
    #[error(
        "The transaction's id '{claimed}' isn't equal to the hash of its body, i.e. it's not valid."
    )]
    IdMismatch {
        /// What it says, cut to 100 bytes.
        claimed: String,
        /// What would be right.
        computed: TransactionId,
    },
    /// Not of the shape that the specification's schema describes.
    #[error("{message}")]
    Schema {
        /// In what way.
        fault: SchemaFault,
        /// Upstream's (jsonschema's) text.
        message: String,
    },
    /// A key that MongoDB does not take, so that BigchainDB does not either.
    #[error(
        "Invalid key name \"{key}\" in {object} object. The key name cannot contain characters \".\", \"$\" or null characters"
    )]
    KeyName {
        /// The key, cut to 100 bytes.
        key: String,
        /// `asset` or `metadata`.
        object: &'static str,
    },
    /// A `language` that MongoDB's text search does not know.
    #[error(
        "MongoDB does not support text search for the language \"{0}\". If you do not understand this error message then please rename key/field \"language\" to something else like \"lang\"."
    )]
    Language(String),
    /// More inputs or outputs than one transaction may have.
    #[error(
        "the transaction has {inputs} inputs and {outputs} outputs: {INPUTS_MAX} and {OUTPUTS_MAX} fit"
    )]
    TooMany {
        /// Its inputs.
        inputs: usize,
        /// Its outputs.
        outputs: usize,
    },
    /// Not a fulfillment.
    #[error("Fulfillment URI couldn't been parsed")]
    Fulfillment,
    /// Not a public key: not base58 of 32 bytes, or not a point on the curve.
    #[error(
        "`{0}` is not a public key: the base58 of 32 bytes that encode a point of edwards25519 would be"
    )]
    KeyFormat(String),
    /// A key for which anyone can sign.
    #[error("the public key {0} is weak: anyone can make signatures for it")]
    KeyWeak(PublicKey),
    /// A condition that is too large, or cannot be met.
    #[error("{0}")]
    ConditionLimit(String),
    /// A condition that names a key twice.
    #[error("the condition names the key {0} twice: each key may be named once")]
    ConditionDuplicateKey(PublicKey),
    /// `condition.uri` says something else than `condition.details`.
    #[error(
        "the condition's uri of output {output} is not that of its details, which is `{computed}`"
    )]
    ConditionUri {
        /// Which output, from 0.
        output: usize,
        /// What would be right.
        computed: String,
    },
    /// `public_keys` of an output are not the keys of its condition.
    #[error(
        "the public_keys of output {output} are not the keys of its condition: each of them once would be fine"
    )]
    OutputOwners {
        /// Which output, from 0.
        output: usize,
    },
    /// `owners_before` of an input are not the keys that the fulfillment shows, or not the
    /// owners of what it spends.
    #[error(
        "the owners_before of input {input} are not the owners: the keys whose condition it fulfils would be fine"
    )]
    InputOwners {
        /// Which input, from 0.
        input: usize,
    },
    /// Not spelled the one way in which an amount is.
    #[error("Invalid amount: {0}")]
    AmountFormat(String),
    /// Nothing.
    #[error("`amount` must be greater than 0")]
    AmountZero,
    /// One output, or all together, hold more than may exist.
    #[error("`amount` must be <= 9000000000000000000")]
    AmountTooLarge,
    /// A transaction of this id is already part of the ledger.
    #[error("transaction `{0}` already exists")]
    Duplicate(TransactionId),
    /// An input names a transaction that is not part of the ledger.
    #[error("input `{0}` doesn't exist")]
    InputUnknown(TransactionId),
    /// An input names an output that its transaction does not have.
    #[error("input `{transaction}` doesn't exist: it has no output {index}")]
    OutputUnknown {
        /// The transaction, which is there.
        transaction: TransactionId,
        /// The output, which is not.
        index: u32,
    },
    /// An input was spent before.
    #[error("input `{spent}` was already spent")]
    DoubleSpend {
        /// The transaction whose output it is.
        spent: TransactionId,
        /// Who spent it.
        by: TransactionId,
    },
    /// Two inputs name the same output.
    #[error("tx \"{0}\" spends inputs twice")]
    InputTwice(TransactionId),
    /// Inputs of more than one asset.
    #[error("All inputs of all transactions passed need to have the same asset id")]
    AssetsMixed,
    /// Inputs of another asset than the transaction says.
    #[error("The asset id of the input does not match the asset id of the transaction")]
    AssetMismatch,
    /// Something would be made from nothing, or lost.
    #[error(
        "The amount used in the inputs `{inputs}` needs to be same as the amount used in the outputs `{outputs}`"
    )]
    AmountMismatch {
        /// The sum of the inputs.
        inputs: u128,
        /// The sum of the outputs.
        outputs: u128,
    },
    /// The fulfillment fulfils another condition than that of the output it spends.
    #[error("Transaction signature is invalid.")]
    ConditionMismatch {
        /// Which input, from 0.
        input: usize,
    },
    /// A signature does not hold.
    #[error("Transaction signature is invalid.")]
    SignatureInvalid,
    /// An election that more than one, or nobody, proposes.
    #[error("`tx_signers` must be a list instance of length one")]
    ProposerNotOne,
    /// An election that somebody else than a validator proposes: the member key names one.
    #[error("Public key is not a part of the validator set")]
    ProposerUnknown,
    /// An election whose outputs are not one for each validator, of its member key and power.
    #[error("Validator set much be exactly same to the outputs of election")]
    ElectionOutputs,
    /// A proposed power of a third of all power or more.
    #[error("`power` change must be less than 1/3 of total power")]
    PowerChange,
    /// A proposed key that is not spelled in the encoding that it names.
    #[error("Invalid `type` specified for public key `value`")]
    ProposedKeyEncoding,
    /// A proposed key of another size.
    #[error("Public key should be of size 32 bytes")]
    ProposedKeySize,
    /// A vote that could conclude its election.
    #[error(
        "this vote could conclude the election `{election}`, and this version cannot change validators or chains yet: with it {given} of the power of {total} would be given, less than two thirds would be fine"
    )]
    ConclusionUnsupported {
        /// The election.
        election: TransactionId,
        /// The power that its voters would have given away with this vote.
        given: u64,
        /// The power of all.
        total: u64,
    },
}

/// Number and code of every refusal that a block may record. Numbers are never reused,
/// codes never renamed. (16 was said of elections before they were carried out.)
const CODES: &[(u16, &str)] = &[
    (1, "TX_TOO_LARGE"),
    (2, "JSON_EMPTY"),
    (3, "JSON_SYNTAX"),
    (4, "JSON_DUPLICATE_KEY"),
    (5, "FIELD_MISSING"),
    (6, "TX_ID_MISMATCH"),
    (7, "FIELD_MISSING"),
    (8, "FIELD_UNKNOWN"),
    (9, "FIELD_TYPE"),
    (10, "FIELD_VALUE"),
    (11, "AMOUNT_FORMAT"),
    (12, "CONDITION_LIMIT"),
    (13, "KEY_FORMAT"),
    (14, "KEY_NAME"),
    (15, "LANGUAGE"),
    (16, "OPERATION_UNSUPPORTED"),
    (17, "TX_LIMIT"),
    (18, "FULFILLMENT_FORMAT"),
    (19, "KEY_FORMAT"),
    (20, "KEY_WEAK"),
    (21, "CONDITION_LIMIT"),
    (22, "CONDITION_DUP_KEY"),
    (23, "CONDITION_URI"),
    (24, "OWNER_MISMATCH"),
    (25, "OWNER_MISMATCH"),
    (26, "AMOUNT_FORMAT"),
    (27, "AMOUNT_RANGE"),
    (28, "AMOUNT_RANGE"),
    (29, "TX_DUPLICATE"),
    (30, "INPUT_NOT_FOUND"),
    (31, "INPUT_NOT_FOUND"),
    (32, "DOUBLE_SPEND"),
    (33, "INPUT_DUPLICATE"),
    (34, "ASSET_MISMATCH"),
    (35, "ASSET_MISMATCH"),
    (36, "AMOUNT_MISMATCH"),
    (37, "SIG_INVALID"),
    (38, "SIG_INVALID"),
    (39, "ELECTION_PROPOSER"),
    (40, "ELECTION_PROPOSER"),
    (41, "ELECTION_OUTPUTS"),
    (42, "ELECTION_POWER"),
    (43, "ELECTION_KEY"),
    (44, "ELECTION_KEY"),
    (45, "ELECTION_CONCLUSION_UNSUPPORTED"),
];

fn code_of(number: u16) -> &'static str {
    CODES.iter().find(|(known, _)| *known == number).map_or("UNKNOWN", |(_, code)| code)
}

/// The stable code of every refusal, as API v2 tells it; some refusals share one.
pub fn codes() -> impl Iterator<Item = &'static str> {
    CODES.iter().map(|(_, code)| *code)
}

impl Refusal {
    /// Upstream's exception class, as in `Invalid transaction (DoubleSpend): …`.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Schema { .. } => "SchemaValidationError",
            Self::IdMissing | Self::IdMismatch { .. } => "InvalidHash",
            Self::Fulfillment | Self::ConditionMismatch { .. } | Self::SignatureInvalid => {
                "InvalidSignature"
            }
            Self::AmountFormat(_)
            | Self::AmountZero
            | Self::AmountTooLarge
            | Self::AmountMismatch { .. } => "AmountError",
            Self::Duplicate(_) => "DuplicateTransaction",
            Self::InputUnknown(_) | Self::OutputUnknown { .. } => "InputDoesNotExist",
            Self::DoubleSpend { .. } | Self::InputTwice(_) => "DoubleSpend",
            Self::AssetsMixed | Self::AssetMismatch => "AssetIdMismatch",
            Self::ProposerNotOne => "MultipleInputsError",
            Self::ProposerUnknown => "InvalidProposer",
            Self::ElectionOutputs => "UnequalValidatorSet",
            Self::PowerChange => "InvalidPowerChange",
            Self::ProposedKeyEncoding | Self::ProposedKeySize => "InvalidPublicKey",
            // What upstream does not have a name for, it would have called a failed validation.
            Self::TooLarge { .. }
            | Self::Json(_)
            | Self::KeyName { .. }
            | Self::Language(_)
            | Self::TooMany { .. }
            | Self::KeyFormat(_)
            | Self::KeyWeak(_)
            | Self::ConditionLimit(_)
            | Self::ConditionDuplicateKey(_)
            | Self::ConditionUri { .. }
            | Self::OutputOwners { .. }
            | Self::InputOwners { .. }
            | Self::ConclusionUnsupported { .. } => "ValidationError",
        }
    }

    /// The stable code of API v2 (`reliability` table A), for example `DOUBLE_SPEND`.
    pub fn code(&self) -> &'static str {
        code_of(self.number())
    }

    /// The stable number that a block records. Never reused.
    pub fn number(&self) -> u16 {
        match self {
            Self::TooLarge { .. } => 1,
            Self::Json(JsonError::Empty) => 2,
            Self::Json(JsonError::Syntax { .. }) => 3,
            Self::Json(JsonError::DuplicateKey { .. }) => 4,
            Self::IdMissing => 5,
            Self::IdMismatch { .. } => 6,
            Self::Schema { fault: SchemaFault::Missing, .. } => 7,
            Self::Schema { fault: SchemaFault::Unknown, .. } => 8,
            Self::Schema { fault: SchemaFault::Type, .. } => 9,
            Self::Schema { fault: SchemaFault::Value, .. } => 10,
            Self::Schema { fault: SchemaFault::Amount, .. } => 11,
            Self::Schema { fault: SchemaFault::ConditionLimit, .. } => 12,
            Self::Schema { fault: SchemaFault::Key, .. } => 13,
            Self::KeyName { .. } => 14,
            Self::Language(_) => 15,
            Self::TooMany { .. } => 17,
            Self::Fulfillment => 18,
            Self::KeyFormat(_) => 19,
            Self::KeyWeak(_) => 20,
            Self::ConditionLimit(_) => 21,
            Self::ConditionDuplicateKey(_) => 22,
            Self::ConditionUri { .. } => 23,
            Self::OutputOwners { .. } => 24,
            Self::InputOwners { .. } => 25,
            Self::AmountFormat(_) => 26,
            Self::AmountZero => 27,
            Self::AmountTooLarge => 28,
            Self::Duplicate(_) => 29,
            Self::InputUnknown(_) => 30,
            Self::OutputUnknown { .. } => 31,
            Self::DoubleSpend { .. } => 32,
            Self::InputTwice(_) => 33,
            Self::AssetsMixed => 34,
            Self::AssetMismatch => 35,
            Self::AmountMismatch { .. } => 36,
            Self::ConditionMismatch { .. } => 37,
            Self::SignatureInvalid => 38,
            Self::ProposerNotOne => 39,
            Self::ProposerUnknown => 40,
            Self::ElectionOutputs => 41,
            Self::PowerChange => 42,
            Self::ProposedKeyEncoding => 43,
            Self::ProposedKeySize => 44,
            Self::ConclusionUnsupported { .. } => 45,
        }
    }

    /// What v2 says: the text, and what upstream's leaves out though it would help.
    pub fn detail(&self) -> String {
        if let Self::IdMismatch { computed, .. } = self {
            return format!("{self} The hash is {computed}.");
        }
        if let Self::DoubleSpend { by, .. } = self {
            return format!("{self} by transaction {by}");
        }
        if let Self::ConditionMismatch { input } = self {
            return format!(
                "{self} Input {input} fulfils another condition than that of its output."
            );
        }
        self.to_string()
    }

    /// The form that a block records: number, and text cut to
    /// [`crate::limits::REFUSAL_BYTES_MAX`] at a character boundary.
    pub fn record(&self) -> Recorded {
        let text = format!("{}: {self}", self.class());
        Recorded { number: self.number(), text: cut(&text, REFUSAL_BYTES_MAX).to_owned() }
    }
}

/// A refusal as a block records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// [`Refusal::number`].
    pub number: u16,
    /// `Class: text`, as v1 would say it.
    pub text: String,
}

impl Recorded {
    /// The stable code of that number; `UNKNOWN` for one from a newer version.
    pub fn code(&self) -> &'static str {
        code_of(self.number)
    }
}

#[cfg(test)]
mod tests;
