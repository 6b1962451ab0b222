//! The thread that takes blocks into the index. Commits never wait for it.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use cairn_ledger::{
    block::{Block, Place},
    execution::Outcome,
    ids::{Height, TransactionId},
};
use tantivy::{IndexWriter, TantivyError, indexer::IndexWriterOptions};

use super::{
    Shared, Snapshot,
    mark::{self, Opened},
};
use crate::{
    clock::Stopwatch,
    metrics::Metrics,
    search::document::Transaction,
    store::{Located, Store, StoreError},
};

/// Memory for documents that are not written yet: the least that tantivy takes.
const BUFFER_BYTES: usize = 15_000_000;
/// How much longer than a commit the pause after it is: on a busy machine commits are slow, and
/// few large ones take less than many small ones, which are merged again and again.
const PAUSE_PER_COMMIT: u32 = 8;
/// Assets whose data is at hand for their transfers.
const ASSETS_KEPT: usize = 512;

/// What a test makes smaller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// Documents that are written together at most.
    pub(super) batch_documents: usize,
    /// Bytes of transactions that are written together at most.
    pub(super) batch_bytes: usize,
    /// While blocks keep coming, what is new is shown that often. After a pause it is at once.
    pub(super) pause: Duration,
    /// And no later than that, when showing it takes so long that it would do little else.
    pub(super) pause_max: Duration,
    /// Whether stopping waits for files that are being merged. A process that ends does not
    /// care; one that opens the same directory again at once does.
    pub(super) finish_merges: bool,
    /// How far its threads stand back: 10 is a tenth of what the others get on a busy machine. At 19,
    /// a client on a busy machine waited seconds for what it had just written.
    pub(super) nice: i32,
}

impl Default for Options {
    fn default() -> Self {
        let (pause, pause_max) = (Duration::from_millis(200), Duration::from_secs(2));
        let (batch_documents, batch_bytes) = (20_000, 16 * 1024 * 1024);
        let finish_merges = false;
        Self { batch_documents, batch_bytes, pause, pause_max, finish_merges, nice: 10 }
    }
}

/// Why the index takes no more blocks.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Index(#[from] TantivyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("block {0} is not there")]
    Gap(Height),
    #[error("{0}")]
    Thread(std::io::Error),
}

pub(super) struct Feed {
    opened: Opened,
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    options: Options,
    /// The data of assets whose transfers came last.
    assets: HashMap<TransactionId, Arc<[u8]>>,
    /// What was taken in since the last commit.
    documents: usize,
    bytes: usize,
    since_commit: Stopwatch,
    /// From the last commit to the next, while blocks keep coming.
    pause: Duration,
}

impl Feed {
    pub(super) fn new(
        opened: Opened,
        shared: Arc<Shared>,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        options: Options,
    ) -> Self {
        let (assets, since_commit) = (HashMap::new(), Stopwatch::start());
        let (documents, bytes, pause) = (0, 0, options.pause);
        Self {
            opened,
            shared,
            store,
            metrics,
            options,
            assets,
            documents,
            bytes,
            since_commit,
            pause,
        }
    }

    /// Follows the store until told to stop, or until there is trouble: then searches answer
    /// for the height that was reached.
    pub(super) fn run(mut self) {
        let path = self.shared.path.clone();
        // The index is not ours, and what it reads may be damaged in any way.
        match catch_unwind(AssertUnwindSafe(|| self.follow())) {
            Ok(Ok(())) => mark::note_closed(&path),
            Ok(Err(error)) => {
                tracing::error!(%error, path = %path.display(), "the search index takes no more blocks");
                mark::note_damage(&path);
            }
            Err(_) => {
                let error = "it panicked";
                tracing::error!(error, path = %path.display(), "the search index takes no more blocks");
                mark::note_damage(&path);
            }
        }
    }

    fn follow(&mut self) -> Result<(), Trouble> {
        // For this thread, and for those that the index starts from it. What is not allowed is
        // done at the usual priority.
        let _ = rustix::process::setpriority_process(None, self.options.nice);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(Trouble::Thread)?;
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .memory_budget_per_thread(BUFFER_BYTES)
            .num_merge_threads(1)
            .build();
        let mut writer: IndexWriter = self.opened.index.writer_with_options(options)?;
        let (mut tips, mut stopping) = (self.store.tips(), self.shared.stopping.subscribe());
        loop {
            let tip = *tips.borrow_and_update();
            while self.opened.mark.height < tip && !*stopping.borrow() {
                for document in self.take_next()? {
                    writer.add_document(document)?;
                }
                if self.is_full() {
                    self.commit(&mut writer)?;
                }
            }
            let new = self.opened.mark.height > *self.shared.heights.borrow();
            let pause = self.pause.saturating_sub(self.since_commit.elapsed());
            if new && (pause.is_zero() || *stopping.borrow()) {
                self.commit(&mut writer)?;
            } else if new {
                let _ = runtime
                    .block_on(async { tokio::time::timeout(pause, stopping.changed()).await });
                continue;
            }
            let goes_on = !*stopping.borrow()
                && runtime.block_on(async {
                    tokio::select! {
                        changed = tips.changed() => changed.is_ok(),
                        changed = stopping.changed() => changed.is_ok(),
                    }
                });
            if !goes_on {
                break;
            }
        }
        if self.options.finish_merges {
            writer.wait_merging_threads()?;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.documents >= self.options.batch_documents || self.bytes >= self.options.batch_bytes
    }

    /// The documents of the next block.
    fn take_next(&mut self) -> Result<Vec<tantivy::TantivyDocument>, Trouble> {
        let height = self.opened.mark.height.next();
        let block = self.store.block(height)?.ok_or(Trouble::Gap(height))?;
        let Block { header, body, outcomes, certificate: _ } = &*block;
        let mut documents = Vec::with_capacity(body.len());
        for (index, (bytes, outcome)) in (0..).zip(body.iter().zip(outcomes)) {
            let Some(transaction) = Transaction::read(bytes) else { continue };
            if *outcome != Outcome::Committed {
                continue;
            }
            let asset = if transaction.makes() { None } else { self.asset_of(&transaction)? };
            let asset = asset.as_ref().and_then(|bytes| Transaction::read(bytes));
            let data = asset.as_ref().unwrap_or(&transaction).data();
            let (place, fields) = (Place { height, index }, &self.shared.fields);
            let columns = &mut self.opened.columns;
            documents.push(fields.document(place, &transaction, data, columns));
            self.bytes += bytes.len();
        }
        self.documents += documents.len();
        self.opened.mark = self.opened.mark.after(height, header.id(), &self.opened.columns);
        Ok(documents)
    }

    /// The transaction that made what a transfer moves.
    fn asset_of(&mut self, transfer: &Transaction<'_>) -> Result<Option<Arc<[u8]>>, StoreError> {
        let Some(asset) = transfer.asset() else { return Ok(None) };
        if let Some(kept) = self.assets.get(&asset) {
            return Ok(Some(Arc::clone(kept)));
        }
        let Some(Located::Committed(place)) = self.store.locate(&asset)? else { return Ok(None) };
        let Some(bytes) = self.store.transaction(place)? else { return Ok(None) };
        if self.assets.len() >= ASSETS_KEPT {
            self.assets.clear();
        }
        self.assets.insert(asset, Arc::clone(&bytes));
        Ok(Some(bytes))
    }

    /// Writes what was taken in, with the mark, and shows it.
    fn commit(&mut self, writer: &mut IndexWriter) -> Result<(), Trouble> {
        let committing = Stopwatch::start();
        let mut prepared = writer.prepare_commit()?;
        prepared.set_payload(&self.opened.mark.encode());
        prepared.commit()?;
        self.opened.reader.reload()?;
        let height = self.opened.mark.height;
        let columns = self.opened.columns.known();
        let searcher = self.opened.reader.searcher();
        *self.shared.snapshot.write() = Arc::new(Snapshot { searcher, columns, height });
        self.shared.heights.send_replace(height);
        self.metrics.search_height.set(i64::try_from(height.0).unwrap_or(i64::MAX));
        (self.documents, self.bytes) = (0, 0);
        self.since_commit = Stopwatch::start();
        let Options { pause, pause_max, .. } = self.options;
        self.pause = (committing.elapsed() * PAUSE_PER_COMMIT).min(pause_max).max(pause);
        Ok(())
    }
}
