//! Asks validators at their admin ports, each on a thread of its own: whoever does not answer keeps
//! nobody else waiting.

use std::{
    collections::BTreeMap,
    fmt,
    io::ErrorKind,
    net::Ipv6Addr,
    str::FromStr,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel},
    thread,
    time::Duration,
};

use cairn_ledger::{genesis::Genesis, limits::VALIDATORS_MAX};
use serde::Deserialize;
use ureq::{Agent, http::header, tls::TlsConfig};

use super::figures::Figures;
use crate::{
    cli::print::harmless,
    clock::{self, Stopwatch},
    exit::Failure,
};

/// How long one question may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Largest answers that are read, in bytes. 128 validators make a status of 10 KB, metrics of some
/// 300 KB and a genesis of 40 KB.
const STATUS_BYTES_MAX: u64 = 256 << 10;
const METRICS_BYTES_MAX: u64 = 8 << 20;
const GENESIS_BYTES_MAX: u64 = 1 << 20;

/// Longest text that is taken from an answer, or said of one that did not come.
const TEXT_CHARS_MAX: usize = 160;

/// Where a validator's admin port is: host and port, and `https://` before it where it is under TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Admin(String);

const TLS: &str = "https://";

impl FromStr for Admin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fine = "one like 127.0.0.1:9986 would be fine";
        let text = text.trim_end_matches('/');
        let text = text.strip_prefix("http://").unwrap_or(text);
        let address = text.strip_prefix(TLS).unwrap_or(text);
        let (host, port) = address.rsplit_once(':').ok_or_else(|| format!("no port; {fine}"))?;
        if !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(format!("no such port; {fine}"));
        }
        let name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let known = match bracketed {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.len() <= 253 && host.chars().all(name),
        };
        if known { Ok(Self(text.to_owned())) } else { Err(format!("no such host; {fine}")) }
    }
}

impl Admin {
    fn url(&self) -> String {
        if self.0.starts_with(TLS) { self.0.clone() } else { format!("http://{}", self.0) }
    }
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a validator says of itself. Fields that its version does not have are empty.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) phase: String,
    pub(super) chain_id: String,
    pub(super) validator: String,
    pub(super) height: u64,
    pub(super) round: u32,
    pub(super) voting: bool,
    pub(super) not_voting_because: Option<String>,
    pub(super) ready: bool,
    pub(super) not_ready_because: Option<String>,
    pub(super) peers: Vec<String>,
    pub(super) best_peer: u64,
    pub(super) quorum: bool,
    pub(super) no_quorum_because: Option<String>,
    pub(super) leads: bool,
    pub(super) version: String,
}

impl Status {
    fn read(text: &[u8]) -> Result<Self, String> {
        let mut status: Self = serde_json::from_slice(text)
            .map_err(|error| shown(&format!("it answered no status: {error}")))?;
        if status.validator.is_empty() {
            return Err("it answered no status: nothing names a validator".to_owned());
        }
        let texts = [&mut status.chain_id, &mut status.validator, &mut status.version];
        let reasons = [
            &mut status.not_voting_because,
            &mut status.not_ready_because,
            &mut status.no_quorum_because,
        ];
        status.peers.truncate(VALIDATORS_MAX);
        let texts = texts.into_iter().chain(reasons.into_iter().flatten());
        for text in texts.chain(&mut status.peers) {
            *text = shown(text);
        }
        Ok(status)
    }
}

/// A stranger's text: without what a terminal would obey, and not too long.
fn shown(text: &str) -> String {
    let mut text = harmless(text);
    if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Who makes up a chain, with their power.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Members {
    /// What people call the chain.
    pub(super) name: String,
    pub(super) chain_id: String,
    pub(super) power: BTreeMap<String, u64>,
}

impl Members {
    /// Of its genesis, which is checked whole.
    fn read(text: &str) -> Option<Self> {
        let genesis = Genesis::from_json(text).ok()?;
        let power = genesis.validators().iter().map(|one| (one.name.clone(), one.power)).collect();
        let name = shown(genesis.name());
        Some(Self { name, chain_id: genesis.chain().to_string(), power })
    }
}

/// What a validator that answered has said.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heard {
    /// When it was asked, since the first question.
    pub(super) asked: Duration,
    /// When its status was there.
    pub(super) at: Moment,
    pub(super) status: Status,
    /// Its metrics, or why they are none.
    pub(super) figures: Result<Figures, String>,
    /// Its genesis, the first time that it is heard.
    pub(super) members: Option<Members>,
}

/// What became of a question: an answer, or why there is none.
pub(super) type Answer = Result<Heard, String>;

/// When something was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    /// Since the first question.
    pub(super) since: Duration,
    pub(super) unix_ms: u64,
}

impl Moment {
    /// Now, by a stopwatch that runs since the first question.
    pub(super) fn now(since: &Stopwatch) -> Self {
        Self { since: since.elapsed(), unix_ms: clock::unix_ms() }
    }
}

/// How validators are asked.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    /// Whom to trust where admin ports are under TLS.
    pub(super) tls: TlsConfig,
    /// How long an answer is waited for.
    pub(super) patience: Duration,
    /// Runs since the first question.
    pub(super) since: Stopwatch,
}

/// Asks one validator.
struct Asker {
    agent: Agent,
    admin: Admin,
    since: Stopwatch,
    patience: Duration,
    /// Whose genesis was read: it never changes.
    known: Option<String>,
}

impl Asker {
    fn new(admin: Admin, manner: Manner) -> Self {
        let Manner { tls, patience, since } = manner;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("cairn/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(patience))
            .tls_config(tls)
            // What is asked for is near; and a connection that was kept may be gone when it is
            // needed, which would look like a validator that is gone.
            .proxy(None)
            .max_idle_connections(0)
            .build();
        Self { agent: config.into(), admin, since, patience, known: None }
    }

    fn ask(&mut self) -> Answer {
        let asked = self.since.elapsed();
        let status = Status::read(&self.get("/status", STATUS_BYTES_MAX)?)?;
        let at = Moment::now(&self.since);
        let figures = self.get("/metrics", METRICS_BYTES_MAX).and_then(|page| {
            let page = String::from_utf8(page).map_err(|_| "they are no text".to_owned())?;
            Figures::read(&page).map_err(|fault| fault.to_string())
        });
        let unknown = !status.chain_id.is_empty() && self.known.as_ref() != Some(&status.chain_id);
        let members = if unknown { self.members(&status.chain_id) } else { None };
        Ok(Heard { asked, at, status, figures, members })
    }

    fn members(&mut self, chain_id: &str) -> Option<Members> {
        let text = String::from_utf8(self.get("/genesis", GENESIS_BYTES_MAX).ok()?).ok()?;
        let members = Members::read(&text).filter(|members| members.chain_id == chain_id)?;
        self.known = Some(members.chain_id.clone());
        Some(members)
    }

    fn get(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
        let request = self.agent.get(format!("{}{path}", self.admin.url()));
        let request = request.header(header::ACCEPT, "application/json, text/plain;version=0.0.4");
        let mut response = request.call().map_err(|error| self.why(&error))?;
        if response.status() != 200 {
            return Err(format!("{path} is answered with {}", response.status().as_u16()));
        }
        let body = response.body_mut().with_config().limit(bytes_max);
        body.read_to_vec().map_err(|error| self.why(&error))
    }

    /// Why nothing came, in few words.
    fn why(&self, error: &ureq::Error) -> String {
        match error {
            ureq::Error::Timeout(_) => format!("no answer within {:?}", self.patience),
            ureq::Error::HostNotFound => "no such host".to_owned(),
            ureq::Error::BodyExceedsLimit(most) => format!("its answer has more than {most} bytes"),
            ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
                "connection refused".to_owned()
            }
            other => shown(&other.to_string()),
        }
    }
}

/// Threads that ask, and what they hear.
pub(super) struct Askers {
    /// For each validator, where it is told to ask; and whether it is asking.
    askers: Vec<(Sender<()>, bool)>,
    answers: Receiver<(usize, Answer)>,
}

impl Askers {
    /// One for each of them. They ask when they are told to.
    pub(super) fn start(admins: &[Admin], manner: &Manner) -> Result<Self, Failure> {
        let (answered, answers) = channel();
        let mut askers = Vec::with_capacity(admins.len());
        for (at, admin) in admins.iter().enumerate() {
            let (told, orders) = channel();
            let answered = answered.clone();
            let mut asker = Asker::new(admin.clone(), manner.clone());
            thread::Builder::new()
                .name(format!("asks {admin}"))
                .spawn(move || {
                    for () in orders {
                        // Nobody listens any more when the command ends.
                        if answered.send((at, asker.ask())).is_err() {
                            return;
                        }
                    }
                })
                .map_err(|error| Failure::general(format!("no thread to ask with: {error}")))?;
            askers.push((told, false));
        }
        Ok(Self { askers, answers })
    }

    /// Asks everybody whose last answer is there.
    pub(super) fn ask(&mut self) -> Result<(), Failure> {
        for (told, asking) in &mut self.askers {
            if !*asking {
                told.send(()).map_err(|_| over())?;
                *asking = true;
            }
        }
        Ok(())
    }

    /// An answer that is there.
    pub(super) fn heard(&mut self) -> Result<Option<(usize, Answer)>, Failure> {
        match self.answers.try_recv() {
            Ok(answer) => Ok(Some(self.took(answer))),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(over()),
        }
    }

    /// The next answer; nothing once everybody's is there, or when none comes within a moment.
    pub(super) fn hear(&mut self, moment: Duration) -> Result<Option<(usize, Answer)>, Failure> {
        match self.answers.recv_timeout(moment) {
            Ok(answer) => Ok(Some(self.took(answer))),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(over()),
        }
    }

    /// Whether somebody is still asking.
    pub(super) fn asking(&self) -> bool {
        self.askers.iter().any(|(_, asking)| *asking)
    }

    fn took(&mut self, answer: (usize, Answer)) -> (usize, Answer) {
        self.askers[answer.0].1 = false;
        answer
    }
}

/// A thread ends before its orders do by a panic only.
fn over() -> Failure {
    Failure::general("a thread that asks ended: this is a bug")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use cairn_ledger::{genesis::Validator, signature::SigningKey};
    use serde_json::json;

    use super::{super::super::stub::Stub, *};

    /// Longer than any test.
    const LONG: Duration = Duration::from_secs(3600);

    fn manner(patience: Duration) -> Manner {
        Manner { tls: TlsConfig::default(), patience, since: Stopwatch::start() }
    }

    fn asker(url: &str) -> Asker {
        Asker::new(url.parse().unwrap(), manner(LONG))
    }

    /// Of a chain of two, one twice as strong as the other.
    fn genesis() -> String {
        let key = |seed| SigningKey::from_seed([seed; 32]).public();
        let member = |(name, power): (&str, u8)| Validator {
            name: name.to_owned(),
            consensus_key: key(power),
            member_key: key(power + 100),
            power: power.into(),
        };
        let members = [("alice", 1), ("bob", 2)].map(member).to_vec();
        Genesis::new("demo".to_owned(), [7; 16], members).unwrap().to_json()
    }

    const STATUS: &str = r#"{"validator":"bob","chain_id":"","height":7,"peers":["alice"]}"#;

    #[test]
    fn addresses_are_read_or_refused() {
        #[rustfmt::skip]
        let table = [
            ("127.0.0.1:9986",          Ok("127.0.0.1:9986"),  "the usual"),
            ("http://127.0.0.1:9986/",  Ok("127.0.0.1:9986"),  "as cairn dev prints it"),
            ("validator-0.cairn:9986",  Ok("validator-0.cairn:9986"), "a name"),
            ("[::1]:9986",              Ok("[::1]:9986"),      "IPv6"),
            ("::1:9986",                Err("host"),           "IPv6 without brackets"),
            ("[::g]:9986",              Err("host"),           "no IPv6"),
            ("https://a:9986",          Ok("https://a:9986"),  "under TLS"),
            ("ftp://a:9986",            Err("host"),           "another protocol"),
            ("localhost",               Err("no port"),        "a host alone"),
            ("localhost:0",             Err("port"),           "port 0"),
            ("localhost:99999",         Err("port"),           "no port"),
            (":9986",                   Err("host"),           "a port alone"),
            ("a/b:9986",                Err("host"),           "a path"),
            ("a@b:9986",                Err("host"),           "a user"),
            ("",                        Err("no port"),        "nothing"),
        ];
        for (text, expected, why) in table {
            let read = text.parse::<Admin>();
            match (&read, expected) {
                (Ok(admin), Ok(expected)) => assert_eq!(admin.to_string(), expected, "{why}"),
                (Err(said), Err(expected)) => assert!(said.contains(expected), "{why}: {said}"),
                _ => panic!("{why}: {read:?}"),
            }
        }
    }

    #[test]
    fn a_validator_is_heard_and_its_genesis_read_once() {
        let genesis = genesis();
        let members = Members::read(&genesis).unwrap();
        assert_eq!(members.power, [("alice".to_owned(), 1), ("bob".to_owned(), 2)].into());
        let status = json!({ "validator": "bob", "chain_id": members.chain_id, "later": [] });
        let status = status.to_string();
        let page = "cairn_height 7\n";
        let stub = Stub::start(vec![
            (200, &status),
            (200, page),
            (200, &genesis),
            (200, &status),
            (200, "cairn_hei"),
            (200, &genesis),
        ]);
        let mut asker = asker(&stub.url);
        let heard = asker.ask().unwrap();
        assert_eq!(heard.status.validator, "bob");
        assert_eq!(heard.figures.unwrap().height, Some(7.0));
        assert_eq!(heard.members, Some(members));
        let heard = asker.ask().unwrap();
        assert_eq!(heard.figures, Err("line 1: no number behind the name".to_owned()));
        assert_eq!(heard.members, None);
        let asked = ["GET /status", "GET /metrics", "GET /genesis", "GET /status", "GET /metrics"];
        assert_eq!(stub.asked(), asked);
    }

    #[test]
    fn who_does_not_answer_is_told_why_not() {
        let raw = |text: &str| {
            format!("HTTP/1.1 200 OK\r\ncontent-length: 500\r\nconnection: close\r\n\r\n{text}")
        };
        let large = "x".repeat(300 << 10);
        #[rustfmt::skip]
        let table = [
            (Stub::start(vec![(404, "")]),                       "/status is answered with 404", "another server"),
            (Stub::start(vec![(200, "<html>")]),                 "no status: expected",    "no JSON"),
            (Stub::start(vec![(200, "[]")]),                     "no status",              "no object"),
            (Stub::start(vec![(200, "{}")]),                     "names a validator",      "of nobody"),
            (Stub::start(vec![(200, r#"{"height":-1}"#)]),       "no status: invalid",     "no height"),
            (Stub::start(vec![(200, &large)]),                   "more than 262144 bytes", "without end"),
            (Stub::raw(vec![raw("{")]),                          "",                       "cut short"),
            (Stub::raw(vec!["nonsense\r\n\r\n".to_owned()]),     "",                       "no HTTP"),
        ];
        for (stub, expected, why) in table {
            let said = asker(&stub.url).ask().unwrap_err();
            assert!(said.contains(expected) && said.chars().count() <= 161, "{why}: {said}");
        }
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(asker(&closed.to_string()).ask(), Err("connection refused".to_owned()));
    }

    #[test]
    fn one_that_is_silent_keeps_nobody_waiting() {
        // It takes connections, and says nothing on them.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap().to_string();
        let stub = Stub::start(vec![(200, STATUS), (200, "cairn_height 7\n")]);
        let admins = [address, stub.url.clone()].map(|admin| admin.parse().unwrap());
        let mut askers = Askers::start(&admins, &manner(LONG)).unwrap();
        askers.ask().unwrap();
        let (at, answer) = askers.hear(LONG).unwrap().unwrap();
        assert_eq!((at, answer.unwrap().status.height), (1, 7));
        assert!(askers.asking() && askers.heard().unwrap().is_none());

        let hurried = manner(Duration::from_millis(1));
        let mut askers = Askers::start(&admins[..1], &hurried).unwrap();
        askers.ask().unwrap();
        let (_, answer) = askers.hear(LONG).unwrap().unwrap();
        assert_eq!(answer, Err("no answer within 1ms".to_owned()));
        assert!(!askers.asking());
    }

    #[test]
    fn what_a_terminal_would_obey_is_taken_out_and_what_is_long_is_cut() {
        let status = json!({
            "validator": "\u{1b}[2Jbob", "not_ready_because": "x".repeat(1000),
            "peers": vec!["\u{7}"; 1000],
        });
        let status = Status::read(status.to_string().as_bytes()).unwrap();
        assert_eq!(status.validator, "\u{fffd}[2Jbob");
        assert_eq!(status.peers, vec!["\u{fffd}"; VALIDATORS_MAX]);
        assert_eq!(status.not_ready_because.unwrap().chars().count(), 161);
    }
}
