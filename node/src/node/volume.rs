//! How much room the data directory takes, and how much is left for it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::metrics::{Metrics, value_of};

/// How often it is looked at: disks fill in minutes, and a look reads the names of all files.
const LOOK: Duration = Duration::from_secs(15);

/// Keeps the metrics of the disk true.
pub(super) async fn keep_measuring(data: PathBuf, metrics: Arc<Metrics>) {
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        let (data, metrics) = (data.clone(), Arc::clone(&metrics));
        let measured = tokio::task::spawn_blocking(move || measure(&data, &metrics));
        if measured.await.is_err() {
            return;
        }
    }
}

fn measure(data: &Path, metrics: &Metrics) {
    metrics.data_bytes.set(value_of(size_of(data)));
    // Where the file system does not say, the metrics stay as they are.
    if let Ok(room) = rustix::fs::statvfs(data) {
        metrics.data_free_bytes.set(value_of(room.f_bavail.saturating_mul(room.f_frsize)));
        metrics.data_size_bytes.set(value_of(room.f_blocks.saturating_mul(room.f_frsize)));
    }
}

/// Bytes of all files below. What comes or goes meanwhile is counted or not.
fn size_of(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size_of(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |file| file.len()),
            Ok(_) | Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn files_below_count_and_the_file_system_says_what_is_left() {
        let name = format!("cairn-volume-{}", hex::encode(clock::random::<8>()));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(directory.join("a/b")).unwrap();
        fs::write(directory.join("one"), [0; 100]).unwrap();
        fs::write(directory.join("a/b/two"), [0; 23]).unwrap();
        let metrics = Metrics::new();
        measure(&directory, &metrics);
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(metrics.data_bytes.get(), 123);
        let (free, size) = (metrics.data_free_bytes.get(), metrics.data_size_bytes.get());
        assert!(0 < free && free < size, "{free} of {size}");
        assert_eq!(size_of(&directory), 0);
    }
}
