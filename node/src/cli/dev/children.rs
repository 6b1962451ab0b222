//! The processes of `cairn dev`: started, watched until they are ready, ended together.

use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};

use super::layout::Home;
use crate::{clock::Stopwatch, exit::Failure};

/// How often the children are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How long one question about readiness may take.
const QUESTION: Duration = Duration::from_secs(1);

/// How long children have to end by themselves.
const GRACE: Duration = Duration::from_secs(10);

struct Running<'a> {
    home: &'a Home,
    child: Child,
    ready: bool,
    ended: bool,
}

/// Runs the validators until SIGINT or SIGTERM; `ready` is called once, when all that live are ready.
///
/// # Errors
/// When one cannot be started, or none is left.
pub(super) fn supervise(homes: &[Home], ready: impl FnOnce()) -> Result<(), Failure> {
    // On this thread: the children are tied to the life of the thread that starts them.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::general)?;
    runtime.block_on(async {
        let mut children = Vec::with_capacity(homes.len());
        let watched = async {
            let mut stop = Stop::new()?;
            for home in homes {
                children.push(start(home)?);
            }
            watch(&mut children, &mut stop, ready).await
        }
        .await;
        end(&mut children).await;
        watched
    })
}

/// The two signals that end everything.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> Result<Self, Failure> {
        let hear = |kind| signal(kind).map_err(Failure::general);
        Ok(Self {
            interrupt: hear(SignalKind::interrupt())?,
            terminate: hear(SignalKind::terminate())?,
        })
    }

    async fn heard(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Whether the validators get this variable of ours.
fn is_for_all(variable: &str) -> bool {
    let telling = ["CAIRN_LOG", "CAIRN_TRACES_"];
    !variable.starts_with("CAIRN_") || telling.iter().any(|begins| variable.starts_with(begins))
}

fn start(home: &Home) -> Result<Running<'_>, Failure> {
    let launch = || -> io::Result<Child> {
        let log =
            File::options().append(true).create(true).open(home.directory.join("node.log"))?;
        let child = Command::new(std::env::current_exe()?)
            .args(["node", "--end-with-parent", &std::process::id().to_string(), "--config"])
            .arg(home.config_file())
            // What overrides a file is meant for one validator, not for all of them at once; but what they
            // tell is asked of all alike.
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| is_for_all(&name.to_string_lossy())))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C on the terminal is for this process, which ends the others in order.
            .process_group(0)
            .spawn()?;
        Ok(child)
    };
    let child = launch()
        .map_err(|error| Failure::general(format!("cannot start {}: {error}", home.name)))?;
    Ok(Running { home, child, ready: false, ended: false })
}

async fn watch(
    children: &mut [Running<'_>],
    stop: &mut Stop,
    ready: impl FnOnce(),
) -> Result<(), Failure> {
    let mut ready = Some(ready);
    loop {
        report_ended(children);
        if children.iter().all(|running| running.ended) {
            return Err(Failure::general("no validator is left; DIR/NAME/node.log says why"));
        }
        if ready.is_some() {
            let settled = async {
                for running in children.iter_mut().filter(|r| !r.ready && !r.ended) {
                    running.ready = is_ready(running.home.ports()[2].1).await;
                    if running.ready {
                        eprintln!("{} is ready", running.home.name);
                    }
                }
                children.iter().all(|running| running.ready || running.ended)
            };
            let settled = tokio::select! {
                settled = settled => settled,
                () = stop.heard() => return Ok(()),
            };
            if settled && let Some(ready) = ready.take() {
                ready();
            }
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = stop.heard() => return Ok(()),
        }
    }
}

/// Says which children have ended by themselves; the others go on.
fn report_ended(children: &mut [Running<'_>]) {
    for running in children.iter_mut().filter(|running| !running.ended) {
        if let Ok(Some(status)) = running.child.try_wait() {
            running.ended = true;
            let log = running.home.directory.join("node.log");
            eprintln!("{} ended with {status}{}", running.home.name, last_words(&log, status));
        }
    }
}

/// The last line that a failed child logged.
fn last_words(log: &std::path::Path, status: ExitStatus) -> String {
    if status.code().is_none_or(|code| code == 0) {
        return String::new();
    }
    let text = fs::read(log).unwrap_or_default();
    let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(2048)..]).into_owned();
    let line = tail.lines().rev().find(|line| !line.trim().is_empty()).map(str::trim);
    line.map_or_else(String::new, |line| format!(": {line}"))
}

async fn is_ready(port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = "GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await?;
        io::Result::Ok(&status == b"HTTP/1.1 200")
    };
    matches!(timeout(QUESTION, ask).await, Ok(Ok(true)))
}

/// Asks all to end, waits, and kills who does not.
async fn end(children: &mut [Running<'_>]) {
    let signal_all = |children: &mut [Running<'_>], signal: Signal| {
        for running in children.iter_mut().filter(|running| !running.ended) {
            // Not waited for yet, so the id is still this child's and nobody else's.
            let id = i32::try_from(running.child.id()).ok().and_then(Pid::from_raw);
            let _ = id.map(|id| kill_process(id, signal));
        }
    };
    report_ended(children);
    signal_all(children, Signal::TERM);
    let waited = Stopwatch::start();
    while children.iter().any(|running| !running.ended) && waited.elapsed() < GRACE {
        sleep(LOOK / 4).await;
        collect(children);
    }
    if children.iter().any(|running| !running.ended) {
        signal_all(children, Signal::KILL);
        for running in children.iter_mut().filter(|running| !running.ended) {
            eprintln!(
                "{} did not end within {} s and was killed",
                running.home.name,
                GRACE.as_secs()
            );
            running.ended = running.child.wait().is_ok();
        }
    }
    // A validator takes its pid file with it. One that was killed could not, and one that somebody
    // else has started since has a file of its own.
    for running in children {
        let pid = running.home.directory.join("pid");
        let own = running.child.id().to_string();
        if fs::read_to_string(&pid).is_ok_and(|text| text.trim() == own) {
            let _ = fs::remove_file(pid);
        }
    }
}

fn collect(children: &mut [Running<'_>]) {
    for running in children.iter_mut().filter(|running| !running.ended) {
        running.ended = matches!(running.child.try_wait(), Ok(Some(_)));
    }
}

#[cfg(test)]
mod tests {
    use super::is_for_all;

    #[test]
    fn validators_get_what_is_meant_for_all_of_them() {
        #[rustfmt::skip]
        let table = [
            ("PATH",                   true,  "anything of the machine's"),
            ("CAIRN_LOG",              true,  "what is told"),
            ("CAIRN_LOG_FORMAT",       true,  "and how"),
            ("CAIRN_TRACES_ENDPOINT",  true,  "and to whom"),
            ("CAIRN_API",              false, "all would listen there"),
            ("CAIRN_DATA",             false, "all would write there"),
            ("CAIRN_URL",              false, "for clients"),
        ];
        for (variable, expected, why) in table {
            assert_eq!(is_for_all(variable), expected, "{variable}: {why}");
        }
    }
}
