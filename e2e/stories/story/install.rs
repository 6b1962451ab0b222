//! From the chart to a federation that decides, and the official BigchainDB driver on both ways to it.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::Context;

use crate::{
    client::Client,
    federation::{Federation, PORT_API},
    stage::{NotHere, PATIENCE, Stage, run},
};

/// The port of the API's streams of events.
const PORT_EVENTS: u16 = 9985;

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let begun = Instant::now();
    let chart = root().join("charts/cairn-cluster");
    stage.say("$ helm install ledger charts/cairn-cluster");
    let chart = chart.to_str().context("a path of this tree is no text")?;
    stage.cluster.helm(&["install", "ledger", chart, "--namespace", &stage.namespace])?;
    let federation = Federation {
        name: "ledger".into(),
        validators: ["alice", "bob", "carol", "dave"].map(String::from).into(),
    };
    federation.is(stage, "Ready", "True")?;
    stage.say(format!("from `helm install` to Ready: {:.1} s", begun.elapsed().as_secs_f64()));
    let service = federation.service(stage)?;
    let client = Client::start(&service, 2);
    client.further(20, PATIENCE)?;
    let driven = drive(stage, &service);
    stage.check(&federation, client)?;
    driven
}

/// The driver through the Service's address, and through a port that kubectl forwards.
fn drive(stage: &Stage, service: &str) -> anyhow::Result<()> {
    if Command::new("npm").arg("--version").output().is_err() {
        return Err(
            NotHere("npm is not installed: all went well, but for the driver".into()).into()
        );
    }
    driver(stage, "the Service", service)?;
    let forward = Forward::start(stage, "service/ledger-api")?;
    driver(stage, "kubectl port-forward", &format!("http://{}:{PORT_API}", forward.address))
}

fn driver(stage: &Stage, way: &str, url: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    let script = root().join("e2e/driver/run.sh");
    run(Command::new(script).arg("--against").arg(url), None)
        .with_context(|| format!("the official driver through {way}"))?;
    stage.say(format!(
        "the official driver and object mapper work through {way} (after {:.1} s)",
        begun.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// The project's tree.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// `kubectl port-forward`, while it lives.
struct Forward {
    address: Ipv4Addr,
    child: Child,
}

impl Forward {
    fn start(stage: &Stage, what: &str) -> anyhow::Result<Self> {
        let address = free()?;
        let shown = format!("port-forward {what} {PORT_API} {PORT_EVENTS} --address {address}");
        stage.say(format!("$ kubectl {shown}"));
        let child = Command::new("kubectl")
            .args(["--namespace", &stage.namespace])
            .args(shown.split(' '))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting kubectl")?;
        let forward = Self { address, child };
        stage.until("the port is forwarded", || {
            Ok(ureq::get(format!("http://{address}:{PORT_API}/")).call().map(drop)?)
        })?;
        Ok(forward)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of this machine with both ports free: the root document names the second one, so it has to
/// be the same on this side.
fn free() -> anyhow::Result<Ipv4Addr> {
    let mut addresses = (1..=9).map(|last| Ipv4Addr::new(127, 0, 0, last));
    let is_free = |address: &Ipv4Addr| {
        [PORT_API, PORT_EVENTS].iter().all(|port| TcpListener::bind((*address, *port)).is_ok())
    };
    addresses
        .find(is_free)
        .with_context(|| format!("the ports {PORT_API} and {PORT_EVENTS} are in use"))
}
