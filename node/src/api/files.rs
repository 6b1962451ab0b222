//! Files that people replace while a validator runs: certificates, keys.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What tells one version of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    bytes: u64,
    inode: u64,
}

/// Nothing for a file that is not there.
fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    let modified = (found.mtime(), found.mtime_nsec());
    Some(Stamp { modified, bytes: found.size(), inode: found.ino() })
}

/// Looks whether files were replaced.
pub(super) struct Watcher {
    files: Vec<PathBuf>,
    seen: Vec<Option<Stamp>>,
}

impl Watcher {
    /// Begins with the files as they are now: made before they are read, so that a change in
    /// between is seen.
    pub(super) fn of(files: Vec<PathBuf>) -> Self {
        let seen = files.iter().map(|file| stamp(file)).collect();
        Self { files, seen }
    }

    /// Whether any was replaced since this was asked last.
    pub(super) fn look(&mut self) -> bool {
        let now: Vec<_> = self.files.iter().map(|file| stamp(file)).collect();
        let changed = now != self.seen;
        self.seen = now;
        changed
    }

    /// Calls `reload` whenever the files changed, for as long as somebody else holds `of`.
    pub(super) fn follow<T, F>(mut self, of: &Arc<T>, reload: F)
    where
        T: Send + Sync + 'static,
        F: Fn(&T) + Send + Sync + Clone + 'static,
    {
        let of = Arc::downgrade(of);
        tokio::spawn(async move {
            loop {
                sleep(LOOK).await;
                let Some(of) = of.upgrade() else { return };
                let reload = reload.clone();
                // A disk that hangs must not hold up those who are served.
                let looked = tokio::task::spawn_blocking(move || {
                    if self.look() {
                        reload(&of);
                    }
                    self
                });
                match looked.await {
                    Ok(watcher) => self = watcher,
                    Err(_) => return,
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_is_noticed_once() {
        let path = std::env::temp_dir().join(format!("cairn-watched-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut watcher = Watcher::of(vec![path.clone()]);
        assert!(!watcher.look());
        std::fs::write(&path, "one").unwrap();
        assert!(watcher.look() && !watcher.look(), "it is there now");
        let other = path.with_extension("new");
        std::fs::write(&other, "two").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(watcher.look() && !watcher.look(), "another file of the same size is in its place");
        std::fs::remove_file(&path).unwrap();
        assert!(watcher.look() && !watcher.look(), "it is gone");
    }
}
