//! The call that reads keys without what they hold.

use std::ops::Range;

use tikv_client::{BoundRange, Key};

use crate::{Client, Trouble, client::snapshot, effort::Kind};

impl Client {
    /// The first keys of a range, without their values; at most `most`, which is at most 1,024.
    /// Fewer come only when there are no more.
    ///
    /// # Errors
    /// [`Trouble::Unreachable`].
    pub async fn scan_keys(
        &self,
        range: Range<Vec<u8>>,
        most: u32,
    ) -> Result<Vec<Vec<u8>>, Trouble> {
        let effort = self.begin(Kind::Scan, 0, Some(range.clone())).await?;
        let scan = |client| {
            let range = Key::from(range.start.clone())..Key::from(range.end.clone());
            async move {
                let mut snapshot = snapshot(&client).await?;
                let keys = snapshot.scan_keys(BoundRange::from(range), most.min(1024)).await?;
                Ok(keys.map(Into::into).collect())
            }
        };
        let scanned = effort.until_done(scan).await;
        effort.done(scanned)
    }
}
