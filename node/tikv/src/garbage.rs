//! What TiKV keeps for readers of the past, and when that may go. Every write leaves the value
//! before it in place; somebody must say from time to time how far back anybody may still read.

use std::time::Duration;

use tikv_client::{Timestamp, TimestampExt};

use crate::{Client, Space, Trouble, Write, effort::Kind, trouble::Failure};

/// It looks at every region for locks that were left behind.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

impl Client {
    /// Lets go of all values that were replaced or deleted longer ago than this, and of the locks of
    /// writers that are as old; for the whole of TiKV, whoever wrote them. Longer than any call takes.
    ///
    /// # Errors
    /// [`Trouble::Refused`] when calls may still read that far back; [`Trouble::Unreachable`].
    pub async fn collect_garbage(&self, older_than: Duration) -> Result<(), Trouble> {
        let effort = self.begin(Kind::CollectGarbage, 0, None).await?;
        let collected = async {
            let within = self.shared.settings.within;
            if older_than < within {
                return Err(Trouble::Refused(format!(
                    "garbage younger than a call may be ({within:?})"
                )));
            }
            let now = effort.timestamp().await?;
            let before = i64::try_from(older_than.as_millis())
                .ok()
                .and_then(|older_than| u64::try_from(now.physical - older_than).ok())
                .ok_or_else(|| Trouble::Refused("older than all time".to_owned()))?;
            let safepoint = Timestamp::from_version(before << 18);
            // It says no when a later point was set already, which is as good.
            let collect = |client: tikv_client::TransactionClient| async move {
                client.gc(safepoint).await.map_err(Failure::from)
            };
            effort.attempt(collect).await.map(|_| ()).map_err(Failure::trouble)
        };
        let collected = collected.await;
        effort.done(collected)
    }

    /// Collects garbage if nobody did so lately: of many programs that ask in turn, one does it.
    /// Says whether it was this one.
    ///
    /// # Errors
    /// Those of [`Client::collect_garbage`].
    pub async fn housekeep(
        &self,
        space: &Space,
        every: Duration,
        older_than: Duration,
    ) -> Result<bool, Trouble> {
        let key = space.key(b"gc");
        let now = self.now_ms().await?;
        let every = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        let turn = {
            let key = key.clone();
            move |values: &[Option<Vec<u8>>]| {
                let last = values[0].as_deref().and_then(|value| <[u8; 8]>::try_from(value).ok());
                let due =
                    last.is_none_or(|last| u64::from_be_bytes(last).saturating_add(every) <= now);
                if due {
                    let writes = vec![Write::Put(key.clone(), now.to_be_bytes().to_vec())];
                    Ok((writes, ()))
                } else {
                    Err(())
                }
            }
        };
        if self.update(vec![key], turn).await?.is_err() {
            return Ok(false);
        }
        self.collect_garbage(older_than).await?;
        Ok(true)
    }
}
