//! Ctrl-C: validators and data that a run has on this machine go when the run goes, however it ends.
//!
//! Signing and checking keep threads busy that nobody can interrupt, so this does not ask them: it
//! kills what [`register`] was told of, removes the data, and ends the process.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

/// What a shell says of a program that Ctrl-C ended.
const ENDED_BY_INTERRUPT: i32 = 130;

/// Runs that are under way.
static RUNNING: Mutex<Vec<Running>> = Mutex::new(Vec::new());

/// One run of `cairn dev`.
struct Running {
    /// The process that started the validators.
    parent: u32,
    /// Where the validators keep their data, and their process ids.
    data: PathBuf,
}

/// Waits for Ctrl-C or a request to end, then clears up and ends this process. `data` is what is
/// removed.
pub(crate) fn watch(data: PathBuf) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        eprintln!("\ninterrupted: ending all validators");
        end_all();
        let _ = std::fs::remove_dir_all(&data);
        std::process::exit(ENDED_BY_INTERRUPT);
    });
    Ok(())
}

/// From now on, these validators end when the run is interrupted.
pub(crate) fn register(parent: u32, data: &Path) {
    running().push(Running { parent, data: data.to_owned() });
}

/// They have ended.
pub(crate) fn forget(parent: u32) {
    running().retain(|running| running.parent != parent);
}

/// Kills the validators of a federation and who started them, at once.
pub(crate) fn end(parent: u32, data: &Path) {
    // The parent first, or it would report each of its children.
    let parent = i32::try_from(parent).ok().and_then(Pid::from_raw);
    for process in parent.into_iter().chain(validators(data)) {
        let _ = kill_process(process, Signal::KILL);
    }
}

/// Process ids of the validators whose data is below a directory.
pub(crate) fn validators(data: &Path) -> Vec<Pid> {
    let Ok(homes) = std::fs::read_dir(data) else { return Vec::new() };
    let pid = |home: PathBuf| {
        let text = std::fs::read_to_string(home.join("pid")).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    };
    homes.filter_map(|home| pid(home.ok()?.path())).collect()
}

fn end_all() {
    for Running { parent, data } in running().drain(..) {
        end(parent, &data);
    }
}

fn running() -> std::sync::MutexGuard<'static, Vec<Running>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}
