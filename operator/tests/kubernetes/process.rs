//! The operator as a process of its own: signals, ports, exit codes.

use std::{
    fs::File,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::servers::Servers;

pub(crate) struct Process {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(
        servers: &Servers,
        namespaces: &[&str],
        lease: (&str, &str),
        name: &str,
    ) -> Self {
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let log = servers.directory.join("log").join(format!("operator-{}-{name}.log", lease.0));
        // Figures are taken from a release build, whatever the test was built as.
        let program = std::env::var("CAIRN_OPERATOR");
        let mut command =
            Command::new(program.as_deref().unwrap_or(env!("CARGO_BIN_EXE_cairn-operator")));
        command
            .args(["run", "--default-image", crate::world::IMAGE])
            .args(["--lease-namespace", lease.0, "--lease-name", lease.1])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .env("KUBECONFIG", &servers.kubeconfig)
            .env("POD_NAME", name)
            .stdin(Stdio::null())
            .stderr(File::create(&log).unwrap());
        for namespace in namespaces {
            command.args(["--namespace", namespace]);
        }
        Self { child: command.spawn().unwrap(), port, log }
    }

    /// Where its admin port is.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub(crate) fn waits(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Status and body; nothing while it does not answer.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// A metric's value: the sum of all that begin so.
    pub(crate) fn metric(&self, begins: &str, without: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics")?;
        let lines = text.lines().filter(|l| l.starts_with(begins) && !l.contains(without));
        Some(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    pub(crate) fn leads(&self) -> bool {
        self.metric("cairn_operator_leader ", "#") == Some(1.0)
    }

    /// Requests that changed something, its Lease aside.
    pub(crate) fn writes(&self) -> f64 {
        self.metric("cairn_operator_writes_total{", "leases").unwrap_or(-1.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
