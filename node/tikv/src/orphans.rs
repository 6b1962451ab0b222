//! Locks whose writer died before its first key was locked, while others were. TiKV rolls such a
//! writer back when it is asked to; `tikv-client` 0.4 means to ask, but looks for TiKV's "not
//! found" in the wrong place and hands it to the caller instead, for ever. So it is asked here,
//! through the call that cleans up before garbage is collected.

use std::ops::Range;

use tikv_client::{
    BoundRange, Key, Timestamp, TimestampExt, TransactionClient, transaction::ResolveLocksOptions,
};

use crate::trouble::Failure;

/// How many locks are looked at in one go.
const LOCKS_AT_ONCE: u32 = 1024;

/// Lets go of what a writer locked among some keys, once its time to live is over. Its other locks
/// are no trouble any more: from then on TiKV knows what became of it.
pub(crate) async fn let_go(
    client: TransactionClient,
    mut among: Range<Vec<u8>>,
    writer: u64,
) -> Result<(), Failure> {
    let began = Timestamp::from_version(writer);
    while among.start < among.end {
        let range = among.start.clone()..among.end.clone();
        let locks = client.scan_locks(&began, bounds(range), LOCKS_AT_ONCE).await?;
        let is_last = locks.len() < LOCKS_AT_ONCE as usize;
        let Some(last) = locks.iter().map(|lock| &lock.key).max() else { return Ok(()) };
        among.start = after(last);
        let Some(lock) = locks.into_iter().find(|lock| lock.lock_version == writer) else {
            if is_last {
                return Ok(());
            }
            continue;
        };
        let now = client.current_timestamp().await?;
        let lives_until = began.physical.saturating_add(i64::try_from(lock.lock_ttl).unwrap_or(0));
        if now.physical > lives_until {
            tracing::info!(writer, "a dead writer's locks are let go");
            client.cleanup_locks(only(&lock.key), &began, ResolveLocksOptions::default()).await?;
        }
        return Ok(());
    }
    Ok(())
}

fn bounds(keys: Range<Vec<u8>>) -> BoundRange {
    BoundRange::from(Key::from(keys.start)..Key::from(keys.end))
}

/// One key, as a range.
pub(crate) fn only(key: &[u8]) -> BoundRange {
    bounds(key.to_vec()..after(key))
}

/// What follows a key at once.
pub(crate) fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// From the first of some keys to the last.
pub(crate) fn span<'k>(keys: impl Iterator<Item = &'k [u8]> + Clone) -> Range<Vec<u8>> {
    let first = keys.clone().min().unwrap_or_default();
    let last = keys.max().unwrap_or_default();
    first.to_vec()..after(last)
}
