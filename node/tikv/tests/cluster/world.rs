//! What these tests share: a PD with three stores that nobody harms, and clients for it.

use std::{fs, path::PathBuf, sync::OnceLock, time::Duration};

use cairn_tikv::{Client, Settings};
use tokio::time;

use super::servers::Servers;

/// What has not happened by then will not happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A directory that goes when the test is over.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cairn-client-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The PD of servers that all tests may use at once, and none may harm. They end with this process.
pub(crate) fn shared_pd() -> String {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    let servers = SERVERS.get_or_init(|| {
        // Nothing runs after the last test: what the run before left is removed by this one.
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cluster");
        let _ = fs::remove_dir_all(&path);
        Servers::start(&path)
    });
    servers.pd.clone()
}

/// A client with time for a machine that has other things to do.
pub(crate) fn client_of(pd: String) -> Client {
    Client::open(Settings { within: Duration::from_secs(30), ..Settings::of(vec![pd]) }).unwrap()
}

pub(crate) async fn client() -> Client {
    // Starting them blocks for seconds.
    let pd = tokio::task::spawn_blocking(shared_pd).await.unwrap();
    client_of(pd)
}

/// A key of a test of its own.
pub(crate) fn key(test: &str, number: usize) -> Vec<u8> {
    format!("{test}/{number:08}").into_bytes()
}

/// Looks until something is there.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            time::sleep(LOOK_EVERY).await;
        }
    };
    time::timeout(DEADLINE, looking).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}
