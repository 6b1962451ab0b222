//! The verifier as a WebAssembly module: four functions over numbers, no pointer followed here.
//!
//! The host asks for room for each file, writes the file there, has it judged, and reads the
//! verdict, JSON as [`cairn_verifier::verdict`] writes it:
//!
//! ```js
//! new Uint8Array(memory.buffer, receipt_room(n), n).set(receipt);
//! new Uint8Array(memory.buffer, genesis_room(m), m).set(genesis);
//! const length = judge();
//! const verdict = new Uint8Array(memory.buffer, verdict_at(), length);
//! ```
//!
//! The module imports nothing: no clock, no dice, no network. What it answers follows from
//! the two files alone.

#![expect(
    unsafe_code,
    reason = "an exported name must be unique, and these four are: nothing else here is unsafe"
)]

use std::sync::{Mutex, MutexGuard, PoisonError};

use cairn_verifier::FILE_BYTES_MAX;

/// What host and verifier exchange. Each buffer stays where it is until it is asked for anew.
static RECEIPT: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static GENESIS: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static VERDICT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Makes room for a receipt of that many bytes; the address where it is to be written. What
/// is larger than any receipt gets room for one byte too many, and is then refused.
#[unsafe(no_mangle)]
pub extern "C" fn receipt_room(bytes: usize) -> usize {
    room(&RECEIPT, bytes)
}

/// The same for the genesis.
#[unsafe(no_mangle)]
pub extern "C" fn genesis_room(bytes: usize) -> usize {
    room(&GENESIS, bytes)
}

/// Verifies what was written; the length of the verdict.
#[unsafe(no_mangle)]
pub extern "C" fn judge() -> usize {
    let verdict = cairn_verifier::verdict(&lock(&RECEIPT), &lock(&GENESIS));
    let length = verdict.len();
    *lock(&VERDICT) = verdict.into_bytes();
    length
}

/// The address of the verdict.
#[unsafe(no_mangle)]
pub extern "C" fn verdict_at() -> usize {
    lock(&VERDICT).as_ptr().addr()
}

fn room(buffer: &Mutex<Vec<u8>>, bytes: usize) -> usize {
    let mut buffer = lock(buffer);
    buffer.clear();
    buffer.resize(bytes.min(FILE_BYTES_MAX + 1), 0);
    buffer.as_ptr().addr()
}

/// A module has one thread, so nobody ever waits, and a panic ends it.
fn lock(buffer: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    buffer.lock().unwrap_or_else(PoisonError::into_inner)
}
