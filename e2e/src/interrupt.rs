//! Ctrl-C: validators and data that a run has on this machine go when the run goes, however it ends.
//!
//! Signing and checking keep threads busy that nobody can interrupt, so this does not ask them: it
//! kills what [`register`] was told of, removes the data, and ends the process.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::signal::unix::{SignalKind, signal};

/// What a shell says of a program that Ctrl-C ended.
const ENDED_BY_INTERRUPT: i32 = 130;

/// Runs that are under way.
static RUNNING: Mutex<Vec<Running>> = Mutex::new(Vec::new());

/// Processes that end with this one.
enum Running {
    /// One run of `cairn dev`: the process that started the validators, and where they keep their
    /// data and their process ids.
    Federation { parent: u32, data: PathBuf },
    /// A script, with a process group of its own.
    Script(u32),
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
    running().push(Running::Federation { parent, data: data.to_owned() });
}

/// From now on, this script and all it started are asked to end when the run is interrupted.
pub(crate) fn register_script(leader: u32) {
    running().push(Running::Script(leader));
}

/// They have ended.
pub(crate) fn forget(process: u32) {
    running().retain(|running| match running {
        Running::Federation { parent, .. } => *parent != process,
        Running::Script(leader) => *leader != process,
    });
}

/// Asks a script and all it started to end; it may have things of its own to clear up.
pub(crate) fn end_script(leader: u32) {
    if let Some(leader) = pid(leader) {
        let _ = kill_process_group(leader, Signal::TERM);
    }
}

/// Kills the validators of a federation and who started them, at once.
pub(crate) fn end(parent: u32, data: &Path) {
    // The parent first, or it would report each of its children.
    for process in pid(parent).into_iter().chain(validators(data)) {
        let _ = kill_process(process, Signal::KILL);
    }
}

/// Process ids of the validators whose data is below a directory.
pub(crate) fn validators(data: &Path) -> Vec<Pid> {
    let Ok(homes) = std::fs::read_dir(data) else { return Vec::new() };
    let of = |home: PathBuf| {
        let text = std::fs::read_to_string(home.join("pid")).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    };
    homes.filter_map(|home| of(home.ok()?.path())).collect()
}

fn end_all() {
    for running in running().drain(..) {
        match running {
            Running::Federation { parent, data } => end(parent, &data),
            Running::Script(leader) => end_script(leader),
        }
    }
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

fn running() -> std::sync::MutexGuard<'static, Vec<Running>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}
