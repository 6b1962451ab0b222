//! The calls that read: one key, many keys, a range. Each reads as of one moment.

use std::{collections::HashMap, ops::Range};

use tikv_client::{BoundRange, Key, Timestamp};

use crate::{
    Client, Pair, Trouble,
    client::{options, snapshot},
    effort::{Effort, Kind, Pace},
    limits::check_key,
    orphans::{after, span},
    trouble::{Failure, Next},
};

/// How many keys are asked for at once.
const KEYS_AT_ONCE: usize = 1024;
/// How many such questions of one call are under way at a time.
const QUESTIONS_AT_A_TIME: usize = 4;
/// The first page of a range, before anything is known about its values.
const PAGE_FIRST: u32 = 256;
const PAGE_MAX: u32 = 4096;
/// What a page should come to. TiKV's own messages end at 10 MiB, unless told otherwise.
const PAGE_BYTES: usize = 2 << 20;

impl Client {
    /// PD's time, in milliseconds since 1970: the clock that all share.
    ///
    /// # Errors
    /// [`Trouble::Unreachable`].
    pub async fn now_ms(&self) -> Result<u64, Trouble> {
        let effort = self.begin(Kind::Now, 0, None).await?;
        let now = effort.timestamp().await;
        effort.done(now.map(|now| u64::try_from(now.physical).unwrap_or_default()))
    }

    /// The value of a key, as of now.
    ///
    /// # Errors
    /// [`Trouble::Unreachable`].
    pub async fn get(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, Trouble> {
        let effort = self.begin(Kind::Get, 0, Some(span([&key[..]].into_iter()))).await?;
        let got = async {
            check_key(&key)?;
            let get = |client| {
                let key = key.clone();
                async move { Ok(snapshot(&client).await?.get(key).await?) }
            };
            effort.until_done(get).await
        };
        effort.done(got.await)
    }

    /// The values of those keys that have one, all as of one moment.
    ///
    /// # Errors
    /// [`Trouble::Unreachable`].
    pub async fn get_many(&self, keys: Vec<Vec<u8>>) -> Result<HashMap<Vec<u8>, Vec<u8>>, Trouble> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let among = span(keys.iter().map(Vec::as_slice));
        let effort = self.begin(Kind::GetMany, 0, Some(among)).await?;
        let got = async {
            keys.iter().try_for_each(|key| check_key(key))?;
            let at = effort.timestamp().await?;
            if keys.len() <= KEYS_AT_ONCE {
                return Ok(chunk(effort.clone(), at, keys).await?.into_iter().collect());
            }
            let chunks: Vec<_> = keys.chunks(KEYS_AT_ONCE).map(<[Vec<u8>]>::to_vec).collect();
            let ask = |effort, keys| chunk(effort, at.clone(), keys);
            let got = effort.several(QUESTIONS_AT_A_TIME, chunks, ask).await?;
            Ok(got.into_iter().flatten().collect())
        };
        effort.done(got.await)
    }

    /// The first pairs of a range, or the last ones, going backwards; at most `most`. Fewer come only when there
    /// are no more. All are as of one moment.
    ///
    /// # Errors
    /// [`Trouble::Unreachable`].
    pub async fn scan(
        &self,
        range: Range<Vec<u8>>,
        most: u32,
        backwards: bool,
    ) -> Result<Vec<Pair>, Trouble> {
        let effort = self.begin(Kind::Scan, 0, Some(range.clone())).await?;
        let scanned = scan(&effort, range, most, backwards).await;
        effort.done(scanned)
    }
}

/// Some keys. What is too much for one answer is asked for in halves.
async fn chunk(effort: Effort, at: Timestamp, keys: Vec<Vec<u8>>) -> Result<Vec<Pair>, Trouble> {
    let mut pace = Pace::new();
    let mut wanted = vec![keys];
    let mut found = vec![];
    while let Some(keys) = wanted.pop() {
        let (at, asked) = (at.clone(), keys.clone());
        let got = effort.attempt(|client| async move {
            let pairs = client.snapshot(at, options()).batch_get(asked).await?;
            Ok(pairs.map(|pair| (pair.0.into(), pair.1)).collect::<Vec<_>>())
        });
        match got.await {
            Ok(pairs) => found.extend(pairs),
            Err(Failure { next: Next::Smaller, .. }) if keys.len() > 1 => {
                let (front, back) = keys.split_at(keys.len() / 2);
                wanted.extend([back.to_vec(), front.to_vec()]);
            }
            Err(failure) => {
                effort.pause(&mut pace, failure).await?;
                wanted.push(keys);
            }
        }
    }
    Ok(found)
}

/// Page by page, each as large as the values before it promise.
async fn scan(
    effort: &Effort,
    range: Range<Vec<u8>>,
    most: u32,
    backwards: bool,
) -> Result<Vec<Pair>, Trouble> {
    let at = effort.timestamp().await?;
    let mut pace = Pace::new();
    let mut page = PAGE_FIRST;
    let mut rest = range;
    let mut pairs: Vec<Pair> = vec![];
    loop {
        let missing = most.saturating_sub(u32::try_from(pairs.len()).unwrap_or(u32::MAX));
        if missing == 0 || rest.start >= rest.end {
            return Ok(pairs);
        }
        let wanted = page.min(missing);
        let got = match read_page(effort, &at, &rest, wanted, backwards).await {
            Ok(got) => got,
            Err(Failure { next: Next::Smaller, .. }) if wanted > 1 => {
                page = wanted / 2;
                continue;
            }
            Err(failure) => {
                effort.pause(&mut pace, failure).await?;
                continue;
            }
        };
        page = page_after(&got);
        let is_last = got.len() < wanted as usize;
        if let Some((key, _)) = got.last() {
            if backwards {
                rest.end = key.clone();
            } else {
                rest.start = after(key);
            }
        }
        pairs.extend(got);
        if is_last {
            return Ok(pairs);
        }
    }
}

async fn read_page(
    effort: &Effort,
    at: &Timestamp,
    range: &Range<Vec<u8>>,
    most: u32,
    backwards: bool,
) -> Result<Vec<Pair>, Failure> {
    let at = at.clone();
    let range = BoundRange::from(Key::from(range.start.clone())..Key::from(range.end.clone()));
    let read = effort.attempt(move |client| async move {
        let mut snapshot = client.snapshot(at, options());
        let pairs: Vec<_> = if backwards {
            snapshot.scan_reverse(range, most).await?.collect()
        } else {
            snapshot.scan(range, most).await?.collect()
        };
        Ok(pairs.into_iter().map(|pair| (pair.0.into(), pair.1)).collect())
    });
    read.await
}

fn page_after(pairs: &[Pair]) -> u32 {
    let bytes: usize = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
    let fits = (PAGE_BYTES * pairs.len()).checked_div(bytes).unwrap_or(PAGE_FIRST as usize);
    u32::try_from(fits).unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_the_size_of_what_was_seen() {
        let pairs = |count: usize, bytes| vec![(vec![1; 10], vec![1; bytes]); count];
        assert_eq!(page_after(&[]), PAGE_FIRST);
        assert_eq!(page_after(&pairs(100, 10)), PAGE_MAX);
        assert_eq!(page_after(&pairs(3, (1 << 20) - 10)), 2);
        assert_eq!(page_after(&pairs(1, 6 << 20)), 1);
    }
}
