//! Every bound in one place, next to the reason for its size.

/// Largest transaction, in bytes as it came. Keeps parsing bounded and a batch one message.
pub const TRANSACTION_BYTES_MAX: usize = 64 * 1024;

/// Deepest nesting of JSON that is read; deeper input is refused, not followed.
pub const JSON_DEPTH_MAX: usize = 64;

/// Most inputs of one transaction; each costs at least one signature check.
pub const INPUTS_MAX: usize = 256;

/// Most outputs of one transaction.
pub const OUTPUTS_MAX: usize = 256;

/// Deepest nesting of threshold conditions.
pub const CONDITION_DEPTH_MAX: usize = 4;

/// Most keys in one condition, over all its nested thresholds.
pub const CONDITION_KEYS_MAX: usize = 32;

/// Largest amount of one output, and of all outputs of one transaction together
/// (BigchainDB 2.x: `MAX_AMOUNT`).
pub const AMOUNT_MAX: u64 = 9_000_000_000_000_000_000;

/// Most transactions in one batch, the unit that is appended to the ordered log.
pub const BATCH_TRANSACTIONS_MAX: usize = 1024;

/// Largest batch, in bytes: one message on the wire, one record in the log.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Most transactions in one block.
pub const BLOCK_TRANSACTIONS_MAX: usize = 4 * BATCH_TRANSACTIONS_MAX;

/// Most bytes of transactions in one block.
pub const BLOCK_BYTES_MAX: usize = 4 * BATCH_BYTES_MAX;

/// Largest frame between validators: a full block with its certificate and outcomes.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Most validators of one chain. Certificates grow with it.
pub const VALIDATORS_MAX: usize = 128;

/// Largest total voting power: sums and products of weights must not overflow in the
/// voting library's quorum arithmetic.
pub const VOTING_POWER_TOTAL_MAX: u64 = u64::MAX / 4;

/// Longest human-readable name (of a chain, of a validator), in bytes.
pub const NAME_BYTES_MAX: usize = 63;

/// Longest text of a refusal that is recorded in a block, in bytes.
pub const REFUSAL_BYTES_MAX: usize = 512;

/// How far a header's time may lie ahead of a validator's own clock, in milliseconds.
pub const CLOCK_DRIFT_MS_MAX: u64 = 10_000;

// A batch holds at least one of the largest transactions, with its length prefix.
const _: () = assert!(TRANSACTION_BYTES_MAX + 64 <= BATCH_BYTES_MAX);
// A block that is cut at whole batches always has room for at least one.
const _: () = assert!(BATCH_TRANSACTIONS_MAX <= BLOCK_TRANSACTIONS_MAX);
const _: () = assert!(BATCH_BYTES_MAX <= BLOCK_BYTES_MAX);
// A full block is one message: transactions, an outcome each, header and certificate.
const _: () = assert!(
    BLOCK_BYTES_MAX
        + BLOCK_TRANSACTIONS_MAX * (REFUSAL_BYTES_MAX + 16)
        + VALIDATORS_MAX * 128
        + 4096
        <= FRAME_BYTES_MAX
);
