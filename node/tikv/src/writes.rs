//! The calls that write. None says that something is in, or is not, unless that is proven.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tikv_client::{Timestamp, Transaction, TransactionClient};

use crate::{
    Client, Inserted, Pair, Trouble, Write,
    client::{options, snapshot},
    effort::{Effort, Kind, Pace},
    limits::{bytes_of, check_key, check_pair, check_writes},
    orphans::{let_go, only, span},
    trouble::{Failure, Next, is_lost_before_commit},
};

/// How much of what need not go together goes together all the same. `tikv-client` cuts its requests
/// at 16 KiB, and only what is one request can be committed in one phase.
const GROUP_BYTES: usize = 12 << 10;
/// How many groups of one call are under way at a time: with three stores twice as fast as 4.
const GROUPS_AT_A_TIME: usize = 16;

impl Client {
    /// Writes a key that has no value. Says for certain what the key holds afterwards.
    ///
    /// # Errors
    /// [`Trouble::Refused`] for a value that is empty or too large; [`Trouble::Unreachable`] when it is not known whether it is in: the
    /// same call again finds out.
    pub async fn insert(&self, key: Vec<u8>, value: Vec<u8>) -> Result<Inserted, Trouble> {
        let bytes = key.len() + value.len();
        let effort = self.begin(Kind::Insert, bytes, Some(span([&key[..]].into_iter()))).await?;
        let inserted = insert(&effort, key, value).await;
        effort.done(inserted)
    }

    /// Writes rows that never change once written, in any order, some perhaps and others not when it fails.
    /// Of rows with the same key the last one counts.
    /// Each group is proven by its last row: whoever cannot bear the one case that this does not see (`Proof`)
    /// keeps a register of its rows, as Cairn's store does, or calls [`Client::write`].
    ///
    /// # Errors
    /// [`Trouble::Refused`] for a row that is empty or too large; [`Trouble::Unreachable`] when some may not be in,
    /// or come in some seconds later still.
    pub async fn put_each(&self, rows: Vec<Pair>) -> Result<(), Trouble> {
        if rows.is_empty() {
            return Ok(());
        }
        let among = span(rows.iter().map(|(key, _)| key.as_slice()));
        let bytes = rows.iter().map(|(key, value)| key.len() + value.len()).sum();
        let effort = self.begin(Kind::PutEach, bytes, Some(among)).await?;
        let put = async {
            rows.iter().try_for_each(|(key, value)| check_pair(key, value))?;
            effort.several(GROUPS_AT_A_TIME, groups(rows), put_group).await.map(|_| ())
        };
        let put = put.await;
        effort.done(put)
    }

    /// Writes some keys, all or none, whatever they held. At most 4 MiB.
    ///
    /// # Errors
    /// [`Trouble::Refused`] for what is too large; [`Trouble::Unreachable`] when it is not known whether they are in.
    pub async fn write(&self, writes: Vec<Write>) -> Result<(), Trouble> {
        if writes.is_empty() {
            return Ok(());
        }
        let among = span(writes.iter().map(key_of));
        let effort = self.begin(Kind::Write, bytes_of(&writes), Some(among)).await?;
        let written = async {
            check_writes(&writes)?;
            let write = |client| {
                let writes = writes.clone();
                async move {
                    let transaction = begin(&client, false).await?;
                    commit(&client, transaction, writes, vec![]).await
                }
            };
            effort.until_done(write).await
        };
        let written = written.await;
        effort.done(written)
    }

    /// Reads keys and writes what `decide` makes of their values, as one step: whoever else writes one of the keys in between
    /// makes it read and decide again. `decide` gets the values in the order of the keys; an error from it is handed back
    /// and nothing is written. What it returns comes back once its writes are in.
    ///
    /// It may meet its own writes: when an answer was lost, it is asked again, and what it sees then may be what it wrote.
    /// So what decides must know its own writes when it sees them. A panic in it is an attempt that failed.
    ///
    /// # Errors
    /// Those of [`Client::write`]. After [`Trouble::Unreachable`] the writes may be in: the same call again decides anew.
    pub async fn update<T, E>(
        &self,
        keys: Vec<Vec<u8>>,
        decide: impl Fn(&[Option<Vec<u8>>]) -> Result<(Vec<Write>, T), E> + Send + Sync + 'static,
    ) -> Result<Result<T, E>, Trouble>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let effort =
            self.begin(Kind::Update, 0, Some(span(keys.iter().map(Vec::as_slice)))).await?;
        let updated = async {
            keys.iter().try_for_each(|key| check_key(key))?;
            let decide: Arc<Decide<T, E>> = Arc::new(decide);
            let update = |client| update(client, keys.clone(), Arc::clone(&decide));
            effort.until_done(update).await
        };
        let updated = updated.await;
        effort.done(updated)
    }
}

fn key_of(write: &Write) -> &[u8] {
    match write {
        Write::Put(key, _) | Write::Delete(key) => key,
    }
}

/// After any error but a refusal the key is read: under one-phase commit not even a conflict is proof that the
/// value is not in. Where it is absent, the same insert goes again; if an earlier one comes late, it
/// finds the later one's value, which is the same.
async fn insert(effort: &Effort, key: Vec<u8>, value: Vec<u8>) -> Result<Inserted, Trouble> {
    check_pair(&key, &value)?;
    let mut one_phase = true;
    let mut pace = Pace::new();
    loop {
        let pair = (key.clone(), value.clone());
        let tried = effort.attempt(|client| insert_once(client, pair, one_phase)).await;
        let Err(failure) = tried else { return Ok(Inserted::Yes) };
        if failure.is_final() {
            return Err(failure.trouble());
        }
        one_phase &= failure.next != Next::TwoPhases;
        let asked = key.clone();
        let read = |client| async move { Ok(snapshot(&client).await?.get(asked).await?) };
        match effort.attempt(read).await {
            Ok(Some(there)) if there == value => return Ok(Inserted::Yes),
            Ok(Some(there)) => return Ok(Inserted::Taken(there)),
            Ok(None) => effort.pause(&mut pace, failure).await?,
            Err(unread) => effort.pause(&mut pace, unread).await?,
        }
    }
}

async fn insert_once(
    client: TransactionClient,
    (key, value): Pair,
    one_phase: bool,
) -> Result<(), Failure> {
    let mut transaction = begin(&client, one_phase).await?;
    transaction.insert(key.clone(), value.clone()).await?;
    finish(&client, transaction, 1, Proof::All(vec![Write::Put(key, value)])).await
}

/// Sorted, so that a group lies in one region if it can; each as large as goes together, or one row.
fn groups(rows: Vec<Pair>) -> Vec<Vec<Pair>> {
    let mut groups: Vec<Vec<Pair>> = vec![];
    let mut room = 0;
    for (key, value) in rows.into_iter().collect::<BTreeMap<_, _>>() {
        let bytes = key.len() + value.len();
        match groups.last_mut() {
            Some(group) if bytes <= room => {
                group.push((key, value));
                room -= bytes;
            }
            _ => {
                groups.push(vec![(key, value)]);
                room = GROUP_BYTES.saturating_sub(bytes);
            }
        }
    }
    groups
}

/// Puts of what never changes may go in one phase: a late one writes what is there. A group that
/// lies in two regions takes two all the same, by `tikv-client`'s own choice.
async fn put_group(effort: Effort, rows: Vec<Pair>) -> Result<(), Trouble> {
    let mut one_phase = true;
    let mut pace = Pace::new();
    loop {
        let put = |client| put_once(client, rows.clone(), one_phase);
        let Err(failure) = effort.attempt(put).await else { return Ok(()) };
        one_phase &= failure.next != Next::TwoPhases;
        effort.pause(&mut pace, failure).await?;
    }
}

async fn put_once(
    client: TransactionClient,
    rows: Vec<Pair>,
    one_phase: bool,
) -> Result<(), Failure> {
    let mut transaction = begin(&client, one_phase).await?;
    let count = rows.len();
    let last = rows.last().map(|(key, _)| key.clone()).unwrap_or_default();
    for (key, value) in rows {
        transaction.put(key, value).await?;
    }
    finish(&client, transaction, count, Proof::Last(last)).await
}

type Decide<T, E> = dyn Fn(&[Option<Vec<u8>>]) -> Result<(Vec<Write>, T), E> + Send + Sync;

async fn update<T, E>(
    client: TransactionClient,
    keys: Vec<Vec<u8>>,
    decide: Arc<Decide<T, E>>,
) -> Result<Result<T, E>, Failure> {
    let mut transaction = begin(&client, false).await?;
    let values = match &keys[..] {
        [key] => vec![transaction.get(key.clone()).await?],
        _ => {
            let pairs = transaction.batch_get(keys.clone()).await?;
            let found: BTreeMap<Vec<u8>, _> = pairs.map(|pair| (pair.0.into(), pair.1)).collect();
            keys.iter().map(|key| found.get(key).cloned()).collect()
        }
    };
    let (writes, decided) = match decide(&values) {
        Ok(decided) => decided,
        Err(error) => return Ok(Err(error)),
    };
    if !writes.is_empty() {
        check_writes(&writes).map_err(|refused| Failure::new(Next::Never, refused.to_string()))?;
        // It may write other keys than it has read.
        let among = span(writes.iter().map(key_of));
        if let Err(failure) = commit(&client, transaction, writes, keys).await {
            if let Some(writer) = failure.orphan {
                let_go(client, among, writer).await?;
            }
            return Err(failure);
        }
    }
    Ok(Ok(decided))
}

async fn begin(client: &TransactionClient, one_phase: bool) -> Result<Transaction, Failure> {
    let options = if one_phase { options().try_one_pc() } else { options() };
    Ok(client.begin_with_options(options).await?)
}

/// The writes, provided that nobody has written those keys, or the ones that were read, since it began.
async fn commit(
    client: &TransactionClient,
    mut transaction: Transaction,
    writes: Vec<Write>,
    read: Vec<Vec<u8>>,
) -> Result<(), Failure> {
    for write in &writes {
        match write {
            Write::Put(key, value) => transaction.put(key.clone(), value.clone()).await?,
            Write::Delete(key) => transaction.delete(key.clone()).await?,
        }
    }
    // What is only read has to be locked to be looked at.
    let is_written = |key: &[u8]| writes.iter().any(|write| key_of(write) == key);
    let only_read: Vec<_> = read.into_iter().filter(|key| !is_written(key)).collect();
    let keys = writes.len() + only_read.len();
    if !only_read.is_empty() {
        transaction.lock_keys(only_read).await?;
    }
    finish(client, transaction, keys, Proof::All(writes)).await
}

/// What must be there for a commit to be believed.
enum Proof {
    /// All that it wrote, as it wrote it.
    All(Vec<Write>),
    /// The last key of sorted rows: what was not sent is all that follows some key. Only where rows lie in two
    /// regions, and the first is split while PD is away, could some of the middle be missing and the last be there.
    Last(Vec<u8>),
}

/// Commits. Where it is certain that nothing of it can be in, the locks it has are given back, which
/// would keep others waiting for seconds.
async fn finish(
    client: &TransactionClient,
    mut transaction: Transaction,
    keys: usize,
    proof: Proof,
) -> Result<(), Failure> {
    let error = match transaction.commit().await {
        Ok(at) => return prove(client, at, proof).await,
        Err(error) => error,
    };
    let one_phase_failed = matches!(error, tikv_client::Error::OnePcFailure);
    if is_lost_before_commit(&error)
        && (keys > 1 || one_phase_failed)
        && let Err(error) = transaction.rollback().await
    {
        // They end by themselves, after their time to live.
        tracing::debug!(%error, "locks were not given back");
    }
    Err(error.into())
}

/// Whether a commit did what `tikv-client` says it did: looks, as of the commit's own time.
///
/// `tikv-client` 0.4 goes through the regions of a commit, first phase and second, by a stream in which a region
/// that PD cannot name is not an error but the end (`stream::iter(Err(error))` in its `transaction/requests.rs`). So
/// when PD goes away at the wrong moment, such as together with the store that leads, it says that all is in
/// of which some keys, or none, were ever sent. No answer of it tells such a commit from one that is in.
async fn prove(
    client: &TransactionClient,
    at: Option<Timestamp>,
    proof: Proof,
) -> Result<(), Failure> {
    let unproven = |words: &str| Err(Failure::new(Next::Reconnect, words));
    let Some(at) = at else { return unproven("a commit has no time") };
    let mut snapshot = client.snapshot(at, options());
    let is_in = match proof {
        Proof::All(writes) => {
            let keys: Vec<_> = writes.iter().map(|write| key_of(write).to_vec()).collect();
            let found = snapshot.batch_get(keys).await?;
            let found: HashMap<Vec<u8>, _> = found.map(|pair| (pair.0.into(), pair.1)).collect();
            // Of several to one key the last counts.
            let after: HashMap<_, _> = writes.iter().map(|write| (key_of(write), write)).collect();
            after.into_values().all(|write| match write {
                Write::Put(key, value) => found.get(key) == Some(value),
                Write::Delete(key) => !found.contains_key(key),
            })
        }
        // Its value may be long, and stays where it is.
        Proof::Last(key) => snapshot.scan_keys(only(&key), 1).await?.next().is_some(),
    };
    if is_in {
        return Ok(());
    }
    tracing::warn!("a commit was called done and is not: PD could not name all of its regions");
    unproven("a commit was called done and is not")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_sorted_and_fit_one_request() {
        let row = |key: u8, bytes: usize| (vec![key], vec![key; bytes - 1]);
        let rows =
            vec![row(3, 6 << 10), row(1, 6 << 10), row(2, 6 << 10), row(4, 64 << 10), row(5, 1)];
        let keys: Vec<Vec<u8>> = groups(rows)
            .iter()
            .map(|group| group.iter().map(|(key, _)| key[0]).collect())
            .collect();
        assert_eq!(keys, [vec![1, 2], vec![3], vec![4], vec![5]]);
    }

    #[test]
    fn of_rows_with_one_key_the_last_counts() {
        let row = |value: u8| (vec![1], vec![value]);
        assert_eq!(groups(vec![row(1), row(2)]), [[row(2)]]);
    }
}
