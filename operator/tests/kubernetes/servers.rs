//! A real Kubernetes API without nodes, for the tests of one process: etcd, kube-apiserver and
//! kube-controller-manager on ports of 127.0.0.1 that were free. All of it ends with the process,
//! however that ends.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock, mpsc},
    thread,
    time::Duration,
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};

/// How often a server is asked whether it is there, and how often at most.
const ASK: Duration = Duration::from_millis(50);
const ASK_MAX: u32 = 2400;

/// Only what ServiceAccounts ask for, and not those of the controllers.
const AUDIT: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- {level: None, userGroups: ['system:serviceaccounts:kube-system']}
- {level: Metadata, userGroups: ['system:serviceaccounts'], omitStages: [RequestReceived]}
- {level: None}
";

/// The servers that run.
pub(crate) struct Servers {
    /// Directory of certificates, data and logs. Removed at the next start of the same kind, kept for reading.
    pub(crate) directory: PathBuf,
    /// An administrator's kubeconfig.
    pub(crate) kubeconfig: PathBuf,
    /// The programs: kubectl and helm are here as well.
    pub(crate) programs: PathBuf,
    etcd_port: u16,
    api_port: u16,
    children: Mutex<Children>,
    authority: Authority,
}

#[derive(Default)]
struct Children {
    etcd: Option<Child>,
    api_server: Option<Child>,
    controllers: Option<Child>,
}

struct Authority {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

/// The servers that the tests of this process share: started once.
pub(crate) fn shared() -> &'static Servers {
    static SHARED: OnceLock<Servers> = OnceLock::new();
    SHARED.get_or_init(|| Servers::start("shared"))
}

impl Servers {
    /// Starts servers of one's own, for a test that stops them.
    pub(crate) fn start(name: &str) -> Self {
        let programs = programs();
        let directory =
            std::env::temp_dir().join(format!("cairn-kubernetes-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("log")).unwrap();
        fs::write(directory.join("audit.yaml"), AUDIT).unwrap();
        let authority = authority();
        let servers = Self {
            kubeconfig: directory.join("kubeconfig"),
            programs,
            etcd_port: free_port(),
            api_port: free_port(),
            children: Mutex::default(),
            authority,
            directory,
        };
        servers.write_certificates();
        servers.start_etcd();
        servers.start_api_server();
        servers.start_controllers();
        servers.wait("the default ServiceAccount", || {
            servers.kubectl(&["-n", "default", "get", "serviceaccount", "default"]).is_ok()
        });
        servers
    }

    /// A client of the administrator.
    pub(crate) async fn client(&self) -> Client {
        Client::try_from(self.config(None).await).unwrap()
    }

    /// The client configuration of a user in groups, `None` for the administrator. The certificate says who it is.
    pub(crate) async fn config(&self, user: Option<(&str, &[&str])>) -> Config {
        let path = match user {
            None => self.kubeconfig.clone(),
            Some((user, groups)) => {
                let path = self.directory.join(format!("{}.kubeconfig", user.replace(':', "-")));
                fs::write(&path, self.kubeconfig_of(user, groups)).unwrap();
                path
            }
        };
        let file = Kubeconfig::read_from(path).unwrap();
        Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap()
    }

    /// Runs kubectl as administrator: its output, or what it complains about.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        self.program("kubectl", arguments, None)
    }

    /// Runs `kubectl` with a manifest on its standard input.
    pub(crate) fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        self.program("kubectl", arguments, Some(input))
    }

    /// Runs `helm` as administrator.
    pub(crate) fn helm(&self, arguments: &[&str]) -> Result<String, String> {
        self.program("helm", arguments, None)
    }

    fn program(
        &self,
        name: &str,
        arguments: &[&str],
        input: Option<&str>,
    ) -> Result<String, String> {
        use std::io::Write;
        let mut child = Command::new(self.programs.join(name))
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.unwrap_or_default().as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// Ends the API server as a power cut would. etcd keeps what it has.
    pub(crate) fn kill_api_server(&self) {
        end(self.children.lock().unwrap().api_server.take());
    }

    /// Starts it again, on the same port, and waits until it serves.
    pub(crate) fn start_api_server(&self) {
        let (pki, etcd) = (self.directory.join("pki"), self.etcd_port);
        let file = |name: &str| pki.join(name).display().to_string();
        let child = self.spawn(
            "kube-apiserver",
            &[
                &format!("--etcd-servers=http://127.0.0.1:{etcd}"),
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                &format!("--secure-port={}", self.api_port),
                &format!("--tls-cert-file={}", file("apiserver.crt")),
                &format!("--tls-private-key-file={}", file("apiserver.key")),
                &format!("--client-ca-file={}", file("ca.crt")),
                "--service-cluster-ip-range=10.0.0.0/16",
                "--allow-privileged=true",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                &format!("--service-account-key-file={}", file("sa.pub")),
                &format!("--service-account-signing-key-file={}", file("sa.key")),
                "--endpoint-reconciler-type=none",
                "--profiling=false",
                &format!("--audit-policy-file={}", self.directory.join("audit.yaml").display()),
                &format!("--audit-log-path={}", self.audit_log().display()),
            ],
        );
        self.children.lock().unwrap().api_server = Some(child);
        self.wait("kube-apiserver", || self.kubectl(&["get", "--raw", "/readyz"]).is_ok());
    }

    /// What ServiceAccounts outside of kube-system asked for: one event of the audit log each.
    pub(crate) fn audited(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.audit_log()).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn audit_log(&self) -> PathBuf {
        self.directory.join("log/audit.jsonl")
    }

    /// A kubeconfig with a token of a ServiceAccount.
    pub(crate) fn kubeconfig_of_account(&self, namespace: &str, account: &str) -> PathBuf {
        let token = self.kubectl(&["-n", namespace, "create", "token", account]).unwrap();
        let (token, authority) = (token.trim(), self.directory.join("pki/ca.crt"));
        let (authority, port) = (authority.display(), self.api_port);
        let path = self.directory.join(format!("{account}.kubeconfig"));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority: {authority}}}}}]\n\
             users: [{{name: test, user: {{token: {token}}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n"
        );
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs a program of ours beside the servers, until what is returned is dropped.
    pub(crate) fn beside(&self, program: &str, arguments: &[String], kubeconfig: &Path) -> Beside {
        let name = Path::new(program).file_name().unwrap().to_string_lossy().into_owned();
        let log = self.directory.join("log").join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", program])
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Beside(spawn_for_life(command))
    }

    fn start_etcd(&self) {
        let (port, peers) = (self.etcd_port, free_port());
        let child = self.spawn(
            "etcd",
            &[
                &format!("--data-dir={}", self.directory.join("etcd").display()),
                // A test's cluster need not survive a power cut.
                "--unsafe-no-fsync",
                "--log-level=warn",
                &format!("--listen-client-urls=http://127.0.0.1:{port}"),
                &format!("--advertise-client-urls=http://127.0.0.1:{port}"),
                &format!("--listen-peer-urls=http://127.0.0.1:{peers}"),
                &format!("--initial-advertise-peer-urls=http://127.0.0.1:{peers}"),
                &format!("--initial-cluster=default=http://127.0.0.1:{peers}"),
            ],
        );
        self.children.lock().unwrap().etcd = Some(child);
        self.wait("etcd", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    }

    fn start_controllers(&self) {
        let pki = self.directory.join("pki");
        let kubeconfig = self.directory.join("controllers.kubeconfig");
        fs::write(&kubeconfig, self.kubeconfig_of("system:kube-controller-manager", &[])).unwrap();
        let kubeconfig = kubeconfig.display();
        let child = self.spawn(
            "kube-controller-manager",
            &[
                &format!("--kubeconfig={kubeconfig}"),
                &format!("--authentication-kubeconfig={kubeconfig}"),
                &format!("--authorization-kubeconfig={kubeconfig}"),
                "--use-service-account-credentials=true",
                &format!("--root-ca-file={}", pki.join("ca.crt").display()),
                &format!("--service-account-private-key-file={}", pki.join("sa.key").display()),
                // Its own limit of 20 requests a second would be what the tests wait for.
                "--kube-api-qps=500",
                "--kube-api-burst=1000",
                "--leader-elect=false",
                // There are no nodes: these would take pods away that are on one.
                "--controllers=*,-pod-garbage-collector-controller,-node-lifecycle-controller",
                "--bind-address=127.0.0.1",
                "--secure-port=0",
                &format!("--flex-volume-plugin-dir={}", self.directory.join("flex").display()),
            ],
        );
        self.children.lock().unwrap().controllers = Some(child);
    }

    fn write_certificates(&self) {
        let pki = self.directory.join("pki");
        fs::create_dir_all(&pki).unwrap();
        fs::write(pki.join("ca.crt"), self.authority.certificate.pem()).unwrap();
        let accounts = KeyPair::generate().unwrap();
        fs::write(pki.join("sa.key"), accounts.serialize_pem()).unwrap();
        fs::write(pki.join("sa.pub"), accounts.public_key_pem()).unwrap();
        let (certificate, key) = self.issue("kube-apiserver", &[]);
        fs::write(pki.join("apiserver.crt"), certificate).unwrap();
        fs::write(pki.join("apiserver.key"), key).unwrap();
        fs::write(&self.kubeconfig, self.kubeconfig_of("admin", &["system:masters"])).unwrap();
    }

    /// A certificate for a user, or a server on this machine, and its key, as PEM.
    fn issue(&self, name: &str, groups: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec!["localhost".into()]).unwrap();
        parameters.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        assert!(groups.len() <= 1, "one name of a kind is all that rcgen writes");
        for group in groups {
            parameters.distinguished_name.push(DnType::OrganizationName, *group);
        }
        let mut authority = CertificateParams::default();
        authority.distinguished_name = ca_name();
        let issuer = Issuer::new(authority, &self.authority.key);
        (parameters.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    }

    fn kubeconfig_of(&self, user: &str, groups: &[&str]) -> String {
        let (certificate, key) = self.issue(user, groups);

        let pki = self.directory.join("pki");
        let stem = user.replace(':', "-");

        fs::write(pki.join(format!("{stem}.crt")), certificate).unwrap();
        fs::write(pki.join(format!("{stem}.key")), key).unwrap();
        let (pki, port) = (pki.display(), self.api_port);
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority: {pki}/ca.crt}}}}]\n\
             users: [{{name: test, user: {{client-certificate: {pki}/{stem}.crt, client-key: {pki}/{stem}.key}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n"
        )
    }

    fn spawn(&self, program: &str, arguments: &[&str]) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.directory.join("log").join(format!("{program}.log")))
            .unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(self.programs.join(program))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        spawn_for_life(command)
    }

    fn wait(&self, what: &str, mut there: impl FnMut() -> bool) {
        for _ in 0..ASK_MAX {
            if there() {
                return;
            }
            thread::sleep(ASK);
        }
        let logs = fs::read_dir(self.directory.join("log")).unwrap();
        for log in logs.map(|entry| entry.unwrap().path()) {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let tail: Vec<_> = text.lines().rev().take(8).collect();
            eprintln!(
                "{}:\n{}",
                log.display(),
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
        panic!("{what} does not answer");
    }
}

/// A program that runs.
pub(crate) struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let mut children = self.children.lock().unwrap();
        end(children.controllers.take());
        end(children.api_server.take());
        end(children.etcd.take());
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A child asks to be ended with the *thread* that made it: so one thread makes all, and never ends.
fn spawn_for_life(command: Command) -> Child {
    type Request = (Command, mpsc::Sender<Child>);
    static NURSERY: OnceLock<Mutex<mpsc::Sender<Request>>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for (mut command, reply) in requests {
                reply.send(command.spawn().expect("setpriv, of util-linux, is installed")).unwrap();
            }
        });
        Mutex::new(sender)
    });
    let (reply, child) = mpsc::channel();
    nursery.lock().unwrap().send((command, reply)).unwrap();
    child.recv().unwrap()
}

fn ca_name() -> rcgen::DistinguishedName {
    let mut name = rcgen::DistinguishedName::new();
    name.push(DnType::CommonName, "cairn tests");
    name
}

fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    parameters.distinguished_name = ca_name();
    let certificate = parameters.self_signed(&key).unwrap();
    Authority { certificate, key }
}

/// The folder that `e2e/kubernetes/build.sh` filled.
fn programs() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/kubernetes/build.sh");
    let output = Command::new(&script).arg("--where").output().unwrap();
    let folder = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    assert!(
        folder.join("stamp").exists(),
        "the Kubernetes programs are not built: run e2e/kubernetes/build.sh, or `make kubernetes-build`"
    );
    folder
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    listener.local_addr().unwrap().port()
}
