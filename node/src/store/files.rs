//! The directory as a whole: whose it is, who has it open, and errors that name a file.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use cairn_ledger::ids::ChainId;
use rustix::fs::{FlockOperation, flock};

use super::StoreError;

/// The format that this version writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// Adds what was being done, and to which file.
pub(super) fn trouble<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> StoreError + 'a {
    move |source| {
        let path = path.display().to_string();
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            StoreError::Full { path }
        } else {
            StoreError::Io { doing, path, source }
        }
    }
}

/// What was read at `at` is not what was written.
pub(super) fn corrupt(path: &Path, at: u64, what: impl Into<String>) -> StoreError {
    StoreError::Corrupt { path: path.display().to_string(), at, what: what.into() }
}

/// Makes a file's name durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(trouble("syncing", path))
}

/// Writes a file whole: after a crash there is the old one or the new one.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), StoreError> {
    let fresh = path.with_extension("new");
    let directory = path.parent().expect("files of a store lie in its directory");
    File::create(&fresh)
        .and_then(|mut file| {
            write(&mut file)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&fresh, path))
        .map_err(|source| {
            // Half a file is of no use, and may be what fills the disk.
            let _ = fs::remove_file(&fresh);
            trouble("writing", path)(source)
        })?;
    sync_directory(directory)
}

/// A store's directory, held by this process until dropped.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Locked for as long as it is open.
    _lock: File,
}

/// What `store.json` says.
#[derive(serde::Serialize, serde::Deserialize)]
struct Label {
    format: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain: Option<ChainId>,
}

impl Directory {
    /// Takes the directory for this process and this chain; makes it when it is not there.
    pub(super) fn claim(path: &Path, chain: ChainId) -> Result<Self, StoreError> {
        let directory = Self::hold(path)?;
        directory.check_label(chain)?;
        Ok(directory)
    }

    /// Takes the directory for this process, whatever it holds; makes it when it is not there.
    pub(crate) fn hold(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(trouble("making", path))?;
        let lock_path = path.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(trouble("opening", &lock_path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| {
            if errno == rustix::io::Errno::WOULDBLOCK {
                StoreError::Foreign(format!("{} is in use by another process", path.display()))
            } else {
                trouble("locking", &lock_path)(errno.into())
            }
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// A file or directory in it.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn check_label(&self, chain: ChainId) -> Result<(), StoreError> {
        let path = self.join("store.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.write_label(&path, chain);
            }
            Err(error) => return Err(trouble("reading", &path)(error)),
        };
        let label: Label = serde_json::from_str(&text).map_err(|error| {
            corrupt(&path, 0, format!("{error}; a format and a chain were expected"))
        })?;
        // The format first: a newer one may say the rest in other words.
        if label.format > FORMAT {
            return Err(StoreError::Foreign(format!(
                "FORMAT_TOO_NEW: {} has format {}, this version reads up to {FORMAT}",
                path.display(),
                label.format
            )));
        }
        if label.chain != Some(chain) {
            let found = label.chain.map_or("no chain".to_owned(), |chain| chain.to_string());
            return Err(StoreError::Foreign(format!(
                "{} belongs to {found}, this is chain {chain}",
                path.display()
            )));
        }
        Ok(())
    }

    fn write_label(&self, path: &Path, chain: ChainId) -> Result<(), StoreError> {
        // Blocks without a label were not left by this store: better to ask than to guess.
        if self.join("blocks").exists() {
            return Err(corrupt(
                path,
                0,
                "there are blocks, but no label that says of which chain",
            ));
        }
        let label = serde_json::to_string(&Label { format: FORMAT, chain: Some(chain) })
            .expect("a label is JSON");
        replace(path, |file| io::Write::write_all(file, format!("{label}\n").as_bytes()))
    }
}
