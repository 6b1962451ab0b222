//! Ctrl-C where something must be put away before the end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{ExitCode, Failure};

/// Hears SIGINT and SIGTERM from now on; without it they end the process where it stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Begins to listen. The second signal ends the process at once.
    pub(super) fn listen() -> Result<Self, Failure> {
        let interrupt = Self::default();
        let heard = Arc::clone(&interrupt.0);
        let fail =
            |error: std::io::Error| Failure::general(format!("signals cannot be heard: {error}"));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
        let (mut interrupted, mut terminated) = {
            let _inside = runtime.enter();
            let listen = |kind| signal(kind).map_err(fail);
            (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?)
        };
        let listening = thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupted.recv() => {}
                        _ = terminated.recv() => {}
                    }
                    if heard.swap(true, Ordering::Relaxed) {
                        std::process::exit(ExitCode::Interrupted as i32);
                    }
                }
            });
        });
        listening.map_err(fail)?;
        Ok(interrupt)
    }

    /// A failure once a signal has come.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Failure::new(ExitCode::Interrupted, "interrupted"));
        }
        Ok(())
    }
}
