//! The keys of one validator, far away: the few calls that the store makes, each within a time.

use std::{collections::HashMap, io, ops::Range, sync::Arc, time::Duration};

use cairn_tikv::{Client, Pair, Space, Trouble, Write};
use tokio::sync::watch;

use crate::store::StoreError;

/// A read is given up after that long: whoever waits for it is a request.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// A write is given up after that long, and is made again by whoever wants it.
const WRITE_WITHIN: Duration = Duration::from_secs(15);
/// What a call may still take once the process is about to end.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Makes of a key's value what it is to be; nothing leaves it as it is. Called again when
/// somebody else wrote the key in between.
pub(super) type Decide =
    Arc<dyn Fn(Option<&[u8]>) -> Result<Option<Vec<u8>>, StoreError> + Send + Sync>;

/// Keys and values, all below one prefix that nobody here sees.
pub(super) trait Far: Send + Sync + 'static {
    /// Which keys these are, for people: what stands before each of them.
    fn name(&self) -> String;

    /// The values of those keys that have one, as of one moment.
    fn get_many(&self, keys: Vec<Vec<u8>>) -> Result<HashMap<Vec<u8>, Vec<u8>>, StoreError>;

    /// The first pairs of a range, or the last ones going backwards; fewer than `most` come
    /// only when there are no more.
    fn scan(
        &self,
        range: Range<Vec<u8>>,
        most: u32,
        backwards: bool,
    ) -> Result<Vec<Pair>, StoreError>;

    /// Writes each of these rows. When it fails, some of them may be there.
    fn put_each(&self, rows: Vec<Pair>) -> Result<(), StoreError>;

    /// Removes each of these rows. When it fails, some of them may be gone.
    fn remove_each(&self, keys: Vec<Vec<u8>>) -> Result<(), StoreError>;

    /// Reads a key and writes what `decide` makes of it, as one step. After
    /// [`StoreError::Unreachable`] it may be written.
    fn update(&self, key: &[u8], decide: Decide) -> Result<(), StoreError>;

    /// Why the keys cannot be reached, while they cannot.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// All calls end soon from now on.
    fn close(&self);
}

/// The same in TiKV.
pub(super) struct InTikv {
    space: Space,
    closing: watch::Sender<bool>,
}

impl InTikv {
    pub(super) fn new(space: Space) -> Self {
        Self { space, closing: watch::Sender::new(false) }
    }

    fn ask<T, F>(
        &self,
        within: Duration,
        call: impl FnOnce(Client) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let mut closing = self.closing.subscribe();
        self.space.client().wait(move |client| async move {
            let closed = async {
                // Without a sender nobody wants the answer either.
                let _ = closing.wait_for(|closing| *closing).await;
                tokio::time::sleep(CLOSE_WITHIN).await;
            };
            tokio::select! {
                answer = call(client) => answer,
                () = closed => Err(StoreError::Unreachable("this process is ending".to_owned())),
                () = tokio::time::sleep(within) => {
                    Err(StoreError::Unreachable(format!("TiKV gave no answer within {within:?}")))
                }
            }
        })
    }

    /// While TiKV is known to be away nobody waits for a read: requests would pile up.
    fn is_there(&self) -> Result<(), StoreError> {
        self.trouble().map_or(Ok(()), |why| Err(StoreError::Unreachable(why)))
    }

    fn full(&self, key: &[u8]) -> Vec<u8> {
        self.space.key(key)
    }

    fn name_of(space: &Space) -> String {
        String::from_utf8_lossy(&space.key(b"")).into_owned()
    }
}

/// What a failed call means here.
fn failed(doing: &'static str, path: String) -> impl Fn(Trouble) -> StoreError + Send + 'static {
    move |trouble| match trouble {
        Trouble::Unreachable(_) => StoreError::Unreachable(trouble.to_string()),
        Trouble::Refused(_) | Trouble::Bug(_) => StoreError::Io {
            doing,
            path: path.clone(),
            source: io::Error::other(trouble.to_string()),
        },
    }
}

impl Far for InTikv {
    fn name(&self) -> String {
        Self::name_of(&self.space)
    }

    fn get_many(&self, keys: Vec<Vec<u8>>) -> Result<HashMap<Vec<u8>, Vec<u8>>, StoreError> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        self.is_there()?;
        let space = self.space.clone();
        let keys: Vec<_> = keys.iter().map(|key| self.full(key)).collect();
        self.ask(READ_WITHIN, move |client| async move {
            let failed = failed("reading keys", Self::name_of(&space));
            let found = client.get_many(keys).await.map_err(failed)?;
            Ok(found.into_iter().filter_map(|pair| below(&space, pair)).collect())
        })
    }

    fn scan(
        &self,
        range: Range<Vec<u8>>,
        most: u32,
        backwards: bool,
    ) -> Result<Vec<Pair>, StoreError> {
        if most == 0 || range.start >= range.end {
            return Ok(Vec::new());
        }
        self.is_there()?;
        let space = self.space.clone();
        let range = self.full(&range.start)..self.full(&range.end);
        self.ask(READ_WITHIN, move |client| async move {
            let failed = failed("reading a range of keys", Self::name_of(&space));
            let found = client.scan(range, most, backwards).await.map_err(failed)?;
            Ok(found.into_iter().filter_map(|pair| below(&space, pair)).collect())
        })
    }

    fn put_each(&self, rows: Vec<Pair>) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows = rows.into_iter().map(|(key, value)| (self.full(&key), value)).collect();
        let failed = failed("writing keys", self.name());
        self.ask(WRITE_WITHIN, |client| async move { client.put_each(rows).await.map_err(failed) })
    }

    fn remove_each(&self, keys: Vec<Vec<u8>>) -> Result<(), StoreError> {
        let keys = keys.iter().map(|key| Write::Delete(self.full(key))).collect();
        let failed = failed("removing keys", self.name());
        self.ask(WRITE_WITHIN, |client| async move { client.write(keys).await.map_err(failed) })
    }

    fn update(&self, key: &[u8], decide: Decide) -> Result<(), StoreError> {
        let key = self.full(key);
        let failed = failed("updating a key", self.name());
        self.ask(WRITE_WITHIN, |client| async move {
            let written = key.clone();
            let decide = move |values: &[Option<Vec<u8>>]| {
                let value = values.first().and_then(Option::as_deref);
                let writes = decide(value)?.map(|value| Write::Put(written.clone(), value));
                Ok((writes.into_iter().collect(), ()))
            };
            client.update(vec![key], decide).await.map_err(failed)?
        })
    }

    fn trouble(&self) -> Option<String> {
        self.space.client().reachable().borrow().why.clone()
    }

    fn close(&self) {
        self.closing.send_replace(true);
    }
}

/// A pair by its own name. Others do not come from a range of these keys.
fn below(space: &Space, (key, value): Pair) -> Option<Pair> {
    Some((space.rest(&key)?.to_vec(), value))
}
