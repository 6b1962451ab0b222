//! The command line against real validators: what people type, what they read, how it ends.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use cairn_ledger::{ids::TransactionId, signature::SigningKey};
use serde_json::Value;

use super::{
    client::{Load, asset, id_of},
    federation::{Federation, Node, Scratch, until},
};

/// A shell without any profile or variables of whoever runs the tests.
struct Shell {
    home: PathBuf,
    url: String,
}

impl Shell {
    fn at(home: &Path, port: u16) -> Self {
        Self { home: home.to_owned(), url: format!("http://127.0.0.1:{port}") }
    }

    fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command.args(line).current_dir(&self.home).env("HOME", &self.home);
        for name in ["XDG_CONFIG_HOME", "CAIRN_KEY", "CAIRN_CA", "CAIRN_API_KEY"] {
            command.env_remove(name);
        }
        for name in ["CAIRN_PROFILE", "CAIRN_OUTPUT", "CAIRN_DATA", "CAIRN_CONFIG"] {
            command.env_remove(name);
        }
        command.env("CAIRN_URL", &self.url).stdin(Stdio::null());
        command
    }

    fn run(&self, line: &[&str]) -> Output {
        self.command(line).output().unwrap()
    }

    /// What a command that works has to say.
    fn says(&self, line: &[&str]) -> String {
        let done = self.run(line);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "cairn {}: {said}", line.join(" "));
        String::from_utf8(done.stdout).unwrap()
    }

    /// The same as JSON, one value for each line or one in all.
    fn values(&self, line: &[&str]) -> Vec<Value> {
        let said = self.says(&[&["--output", "json"], line].concat());
        let values = serde_json::Deserializer::from_str(&said).into_iter();
        values.map(|value| value.unwrap()).collect()
    }

    fn value(&self, line: &[&str]) -> Value {
        let mut values = self.values(line);
        assert_eq!(values.len(), 1, "cairn {}", line.join(" "));
        values.remove(0)
    }

    /// What a command that does not work has to say, its code checked.
    fn fails(&self, code: i32, line: &[&str]) -> String {
        let done = self.run(line);
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(code), "cairn {}: {said}", line.join(" "));
        assert!(!said.contains("panicked"), "{said}");
        said
    }

    /// A key file, and its public half.
    fn key(&self, name: &str) -> String {
        let made = self.value(&["key", "new", "--out", name]);
        made["public_key"].as_str().unwrap().to_owned()
    }

    /// Runs a command with something on stdin.
    fn piped(&self, line: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input).unwrap();
        drop(stdin);
        child.wait_with_output().unwrap()
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

#[test]
fn assets_change_hands_from_the_command_line() {
    let federation = Federation::start("commands", 1);
    let shell = Shell::at(&federation.scratch.0, federation.nodes[0].api);
    let (alice, bob) = (shell.key("alice.key"), shell.key("bob.key"));
    let create = ["asset", "create", "--key", "alice.key", "--amount", "10"];
    let said = [&create[..], &["--data", r#"{"token":"T"}"#, "--metadata", r#"{"note":"first"}"#]];
    let made = shell.value(&said.concat());
    let id = text(&made, "asset_id").to_owned();
    assert_eq!((text(&made, "outcome"), &made["height"]), ("committed", &1.into()));
    // Whoever just wrote finds it, though the index follows behind.
    let found = shell.values(&["query", "assets", "--filter", r#"asset.token = "T""#]);
    assert_eq!(found.len(), 1, "{found:?}");

    // Three for Bob, two for both together; the rest stays with Alice.
    let (three, two) = (format!("{bob}:3"), format!("{alice}+{bob}:2"));
    let transfer = ["asset", "transfer", "--asset", &id, "--key", "alice.key"];
    let given = shell.value(&[&transfer[..], &["--to", &three, "--to", &two]].concat());
    let given = text(&given, "transaction_id").to_owned();
    let shown = shell.value(&["asset", "show", &id]);
    let mut held: Vec<&str> =
        shown["holders"].as_array().unwrap().iter().map(|held| text(held, "amount")).collect();
    held.sort_unstable();
    assert_eq!(held, ["2", "3", "5"]);
    let table = shell.says(&["asset", "show", &id]);
    for said in ["in block 1", r#"{"note":"first"}"#, &format!("{alice} and {bob}")] {
        assert!(table.contains(said), "{said}: {table}");
    }

    // What both own, neither gives away alone.
    let joint = format!("{given}:1");
    let alone = [&transfer[..], &["--to", &bob, "--spend", &joint]].concat();
    assert!(shell.fails(1, &alone).contains("holds nothing"));
    shell.says(&[&alone[..], &["--key", "bob.key"]].concat());
    let (spent, six) = (format!("{id}:0"), format!("{bob}:6"));
    let again = [&transfer[..], &["--to", &bob, "--spend", &spent]].concat();
    assert!(shell.fails(1, &again).contains("already spent"));
    let much = [&transfer[..], &["--to", &six]].concat();
    assert!(shell.fails(1, &much).contains("can spend 5"));
    assert!(shell.fails(2, &["asset", "create", "--data", "{}"]).contains("--key"));
    assert!(
        shell.fails(18, &["asset", "create", "--data", "{}", "--key", "none"]).contains("none")
    );

    let listed = shell.values(&["tx", "list", "--asset", &id]);
    assert_eq!(listed.len(), 3);
    let last = shell.values(&["tx", "list", "--asset", &id, "--operation", "transfer", "--last"]);
    assert_eq!(last, [listed[2].clone()]);
    let report = shell.value(&["tx", "show", &given]);
    assert_eq!((&report["status"], &report["height"]), (&"committed".into(), &2.into()));
    assert_eq!(report["transaction"]["operation"], "TRANSFER");
    assert!(shell.says(&["tx", "show", &given]).contains(&format!("spends {id}:0")));
    assert!(shell.fails(1, &["tx", "show", &"0".repeat(64)]).contains("knows no transaction"));

    finds(&shell, &id, &given, &bob);
    let status = shell.value(&["status"]);
    assert_eq!((&status["ready"], &status["height"]), (&true.into(), &3.into()));
    let two = format!("{},http://127.0.0.1:1", shell.url);
    assert!(shell.fails(1, &["status", "--url", &two]).contains("http://127.0.0.1:1 is not ready"));

    fs::write(shell.home.join("receipt.json"), shell.says(&["tx", "receipt", &given])).unwrap();
    let proven = ["verify", "receipt", "receipt.json", "--genesis", "genesis.json"];
    assert!(shell.says(&proven).contains(&given));
    federation.nothing_alarming();
}

/// An asset by its history, by who holds it, by its fields and by its words.
fn finds(shell: &Shell, id: &str, given: &str, bob: &str) {
    // What is indexed behind the commit is there soon.
    let history = until("the history is whole", || {
        let history = shell.values(&["asset", "history", id]);
        (history.len() == 3).then_some(history)
    });
    assert_eq!((text(&history[1], "id"), &history[1]["height"]), (given, &2.into()));
    assert!(shell.says(&["asset", "history", id]).contains(r#"{"note":"first"}"#));
    until("Bob's list is whole", || {
        let list = shell.values(&["asset", "list", "--owner", bob]);
        (list.first()?["amount"] == "5").then_some(())
    });
    let filter = ["query", "assets", "--filter", r#"asset.token = "T""#, "--sort", "-height"];
    assert_eq!(text(&shell.value(&filter), "id"), id);
    let unspent = ["query", "outputs", "--asset", id, "--unspent"];
    assert_eq!(shell.values(&unspent).len(), 3);
    assert!(shell.says(&unspent).contains(bob));
    let said = shell.run(&[&unspent[..], &["--limit", "1", "--explain"]].concat());
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("explain: index") && said.contains("--cursor"), "{said}");
    let wrong = shell.fails(1, &["query", "assets", "--filter", "asset.token ="]);
    assert!(wrong.contains("400") && wrong.contains("character"), "{wrong}");
    let found = shell.values(&["query", "text", "metadata", "first"]);
    assert_eq!(text(&found[0], "id"), id);
}

#[test]
fn many_transactions_are_sent_and_answered_one_by_one() {
    let federation = Federation::start("sending", 1);
    let shell = Shell::at(&federation.scratch.0, federation.nodes[0].api);
    shell.key("alice.key");
    let signer = SigningKey::from_seed([5; 32]);
    let good: Vec<Vec<u8>> = (0..25).map(|number| asset(number, &signer, 10)).collect();
    let ids: Vec<TransactionId> = good.iter().map(|bytes| id_of(bytes)).collect();

    // As an array, in batches; then one a line, from a pipe, with what is no transaction.
    let array = [b"[", good.join(&b",\n "[..]).as_slice(), b"]"].concat();
    fs::write(shell.home.join("array.json"), array).unwrap();
    let reports = shell.values(&["tx", "send", "array.json", "--batch", "10"]);
    let found: Vec<&str> = reports.iter().map(|report| text(report, "id")).collect();
    assert_eq!(found, ids.iter().map(TransactionId::to_string).collect::<Vec<_>>());
    assert!(reports.iter().all(|report| report["status"] == "committed"), "{reports:?}");

    let mut damaged = good[0].clone();
    let at = damaged.windows(10).position(|window| window == b"\"filler\":\"").unwrap() + 10;
    damaged[at] = b'y';
    let lines = [&good[0][..], b"\n", &damaged, b"\n", &good[1], b"\n{}\n"].concat();
    let done = shell.piped(&["tx", "send", "-", "--output", "json"], &lines);
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("2 of 4 transactions were not taken"), "{said}");
    let out = String::from_utf8(done.stdout).unwrap();
    let statuses: Vec<String> = out
        .lines()
        .map(|line| text(&serde_json::from_str(line).unwrap(), "status").to_owned())
        .collect();
    assert_eq!(
        statuses,
        ["committed", "refused", "committed", "refused"],
        "the same again is fine"
    );

    // What precedes a fault is sent, and the fault is said.
    let fresh = asset(99, &signer, 10);
    let cut = [&fresh[..], b"\n", &good[2][..50]].concat();
    let done = shell.piped(&["tx", "send", "-"], &cut);
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.code() == Some(1) && said.contains("after 1 transactions"), "{said}");
    assert!(federation.nodes[0].has(&id_of(&fresh)));

    // Signed here, sent later, byte for byte the same.
    let signed = shell.says(&[
        "asset",
        "create",
        "--key",
        "alice.key",
        "--data",
        r#"{"n":"1"}"#,
        "--dry-run",
    ]);
    fs::write(shell.home.join("signed.json"), &signed).unwrap();
    let sent = shell.value(&["tx", "send", "signed.json", "--wait", "accepted"]);
    assert_eq!(text(&sent, "status"), "pending");
    let id = text(&sent, "id").to_owned();
    until("it is committed", || federation.nodes[0].has(&id.parse().unwrap()).then_some(()));
    assert_eq!(shell.says(&["tx", "show", &id, "--raw"]), signed);

    // A reader that has enough is no failure.
    let script = format!("{} tx list --asset {} | head -c 1", env!("CARGO_BIN_EXE_cairn"), ids[0]);
    let piped = Command::new("bash")
        .args(["-c", &format!("set -o pipefail; {script}")])
        .env("CAIRN_URL", &shell.url)
        .env("HOME", &shell.home)
        .output()
        .unwrap();
    assert!(piped.status.success() && piped.stderr.is_empty(), "{piped:?}");
}

#[test]
fn a_ledger_goes_out_and_comes_in_and_its_validator_follows() {
    let mut federation = Federation::start("import", 4);
    let shell = Shell::at(&federation.scratch.0, federation.nodes[0].api);
    let mut committed: Vec<TransactionId> = (0..3).map(|_| federation.nodes[0].commits()).collect();
    until("validator-3 has them", || federation.nodes[3].has(&committed[2]).then_some(()));

    // A running validator holds its directory.
    let export = ["export", "--config", "validator-3/cairn.toml", "--out"];
    shell.fails(12, &[&export[..], &["ledger"]].concat());
    assert!(federation.nodes[3].stop().success());
    let exported = shell.value(&[&export[..], &["ledger"]].concat());
    let stream = shell.run(&[&export[..], &["-"]].concat());
    assert!(stream.status.success(), "{stream:?}");
    let verified = shell.value(&["verify", "ledger", "ledger", "--genesis", "genesis.json"]);
    assert_eq!(verified["blocks"], exported["blocks"]);

    let import = ["import", "ledger", "--genesis", "genesis.json", "--data", "imported"];
    let imported = shell.value(&import);
    assert_eq!(imported["state_root"], verified["state_root"]);
    shell.fails(12, &import);
    let data = federation.nodes[3].data();
    let key = fs::read(data.join("consensus.key")).unwrap();
    fs::remove_dir_all(&data).unwrap();
    let from_pipe = ["import", "-", "--genesis", "genesis.json", "--data", data.to_str().unwrap()];
    let done = shell.piped(&from_pipe, &stream.stdout);
    assert!(done.status.success(), "{done:?}");
    fs::write(data.join("consensus.key"), key).unwrap();

    // It has the chain, follows it, and signs nothing: nobody knows what its key has signed.
    committed.push(federation.nodes[0].commits());
    federation.nodes[3].start_and_serve();
    federation.agrees_on(&committed);
    assert_eq!(federation.nodes[3].status().unwrap()["voting"], false);

    // What is cut short leaves nothing.
    let cut = &stream.stdout[..stream.stdout.len() - 30];
    let cut = shell.piped(&["import", "-", "--genesis", "genesis.json", "--data", "cut"], cut);
    let said = String::from_utf8(cut.stderr).unwrap();
    assert!(cut.status.code() == Some(1) && said.contains("nothing was imported"), "{said}");
    let left = ["cut", "cut.importing"].map(|name| shell.home.join(name).exists());
    assert_eq!(left, [false, false]);
    federation.nothing_alarming();
}

#[test]
fn a_federation_is_seen_at_its_admin_ports() {
    let mut federation = Federation::start("top", 4);
    let shell = Shell::at(&federation.scratch.0, federation.nodes[0].api);
    let admin = |node: &Node| format!("127.0.0.1:{}", node.admin);
    let admins: Vec<String> = federation.nodes.iter().map(admin).collect();
    let admins = admins.join(",");
    assert!(shell.fails(2, &["top", "--admin", &admins]).contains("--once"), "no terminal");

    federation.nodes[0].commits();
    let begun = || federation.nodes.iter().all(|node| node.height() > Some(0));
    until("all have a block", || begun().then_some(()));
    let once = ["top", "--admin", &admins, "--once", "--interval", "0.2"];
    let load = Load::start(&federation.ports(), 2);
    let seen = until("transactions are seen to be committed", || {
        let seen = shell.value(&once);
        let figure = |name: &str| seen["federation"][name].as_f64();
        let busy = figure("committed_per_second")? > 0.0 && figure("commit_p99_seconds")? > 0.0;
        (busy && seen["blocks"][0]["committed"].as_u64()? > 0).then_some(seen)
    });
    load.stop();
    let all = &seen["federation"];
    assert_eq!((&all["name"], &all["answering"]), (&"top".into(), &4.into()), "{all}");
    assert_eq!((&all["quorum"], &all["quorum_answers"]), (&true.into(), &true.into()), "{all}");
    assert_eq!(all["chain_id"], federation.genesis.chain().to_string().as_str());
    for (node, row) in federation.nodes.iter().zip(seen["validators"].as_array().unwrap()) {
        assert_eq!((text(row, "validator"), text(row, "admin")), (&*node.name, &*admin(node)));
        let known = |name: &str| row[name].as_u64() > Some(0);
        assert!(known("height") && known("resident_bytes") && known("data_free_bytes"), "{row}");
        assert!(row["metrics_error"].is_null(), "{row}");
    }

    // One that is gone is named, and does not keep the others from answering.
    federation.nodes[3].kill();
    let seen = shell.value(&once);
    let row = &seen["validators"][3];
    assert_eq!((text(row, "validator"), text(row, "state")), ("validator-3", "not_answering"));
    assert_eq!(text(row, "because"), "connection refused");
    let named: Value = serde_json::from_str(r#"["validator-3"]"#).unwrap();
    assert_eq!(seen["federation"]["not_heard"], named);
    federation.nodes[2].kill();
    assert!(shell.fails(1, &once).contains("no quorum answers: 2 of 4 validators do"));
    federation.nothing_alarming();
}

/// One row: a flag, a variable, the profile; what applies, and why.
type Precedence =
    (Option<&'static str>, Option<&'static str>, Option<&'static str>, &'static str, &'static str);

#[test]
fn flags_win_over_variables_over_the_profile_over_defaults() {
    let scratch = Scratch::new("profile");
    let shell = Shell::at(&scratch.0, 1);
    let profile = scratch.0.join(".config/cairn/profile.toml");
    fs::create_dir_all(profile.parent().unwrap()).unwrap();
    #[rustfmt::skip]
    let table: [Precedence; 5] = [
        (Some("http://flag/"), Some("http://env"), Some("http://file"), "http://flag", "a flag wins"),
        (None,                 Some("http://env"), Some("http://file"), "http://env",  "then the environment"),
        (None,                 Some(""),           Some("http://file"), "http://file", "an empty variable is none"),
        (None,                 None,               Some("http://file"), "http://file", "then the profile"),
        (None,                 None,               None,                "http://127.0.0.1:9984", "then the default"),
    ];
    for (flag, variable, file, expected, why) in table {
        let urls = file.map(|url| format!("urls = ['{url}']\n")).unwrap_or_default();
        fs::write(&profile, urls + "key = 'mine.key'\noutput = 'json'\n").unwrap();
        let mut line = vec!["profile", "show"];
        line.extend(flag.map(|url| ["--url", url]).into_iter().flatten());
        let mut command = shell.command(&line);
        command.env_remove("CAIRN_URL").envs(variable.map(|url| ("CAIRN_URL", url)));
        let done = command.output().unwrap();
        let shown: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(shown["urls"][0], expected, "{why}");
        let key = profile.with_file_name("mine.key");
        assert_eq!(shown["keys"][0], key.to_str().unwrap(), "relative to the profile");
        assert_eq!(shown["api_key"], false);
    }
    // A profile that makes no sense stops whoever would use it, and nobody else.
    fs::write(&profile, "colour = 'red'\n").unwrap();
    assert!(shell.fails(10, &["status"]).contains("line 1"));
    assert!(shell.fails(10, &["status", "--profile", "none.toml"]).contains("none.toml"));
    assert!(shell.fails(10, &["node", "--config", "none.toml"]).contains("none.toml"));

    // One is made, is private, and is not made twice.
    let init = ["profile", "init", "--profile", "new.toml", "--api-key", "secret"];
    assert!(!shell.says(&init).contains("secret"));
    shell.fails(10, &init);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(scratch.0.join("new.toml")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let shown = shell.value(&["profile", "show", "--profile", "new.toml"]);
    assert_eq!(
        (&shown["api_key"], &shown["urls"][0]),
        (&true.into(), &"http://127.0.0.1:1".into())
    );
}

#[test]
fn the_next_validator_is_asked_when_one_does_not_answer() {
    let federation = Federation::start("next", 1);
    let mut shell = Shell::at(&federation.scratch.0, federation.nodes[0].api);
    let id = federation.nodes[0].commits().to_string();
    shell.url = format!("http://127.0.0.1:1,{}", shell.url);
    assert_eq!(shell.value(&["tx", "show", &id])["status"], "committed");
    shell.url = "http://127.0.0.1:1".to_owned();
    assert!(shell.fails(1, &["tx", "show", &id]).contains("no answer from http://127.0.0.1:1"));
}

#[test]
fn a_private_authority_and_an_api_key_are_all_that_a_closed_validator_wants() {
    let mut federation = Federation::found("secure", 1);
    let mut shell = Shell::at(&federation.scratch.0, 1);
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-out", "tls.pem", "-keyout", "tls.key"])
        .current_dir(&shell.home)
        .output()
        .expect("these tests need openssl: a package of that name has it");
    assert!(made.status.success(), "{made:?}");
    let key = shell.value(&["key", "api", "--name", "alice"]);
    fs::write(shell.home.join("api.keys"), format!("{}\n", text(&key, "line"))).unwrap();
    let node = &mut federation.nodes[0];
    let config = fs::read_to_string(node.config()).unwrap();
    let closed = "[api.tls]\ncertificates = '../tls.pem'\nkey = '../tls.key'\n\
        [api.keys]\nfile = '../api.keys'\n";
    fs::write(node.config(), format!("{config}\n{closed}")).unwrap();
    node.start_and_serve();

    let plain = format!("http://localhost:{}", node.api);
    shell.url = format!("https://localhost:{}", node.api);
    let status = ["status", "--output", "json"];
    assert!(shell.fails(1, &["status", "--url", &plain]).contains("is not ready"));
    let unknown = shell.fails(1, &status);
    assert!(unknown.to_lowercase().contains("certificate"), "{unknown}");
    let trusting = [&status[..], &["--ca", "tls.pem"]].concat();
    let nobody = shell.fails(1, &trusting);
    assert!(nobody.contains("401") && nobody.contains("CAIRN_API_KEY"), "{nobody}");
    let wrong = shell.fails(1, &[&trusting[..], &["--api-key", "wrong"]].concat());
    assert!(wrong.contains("401"), "{wrong}");
    shell.fails(10, &[&status[..], &["--ca", "api.keys"]].concat());

    // All of it in a profile, once.
    let init = ["profile", "init", "--ca", "tls.pem", "--api-key", text(&key, "key")];
    shell.says(&init);
    shell.url.clear();
    assert_eq!(shell.value(&["status"])["ready"], true);
    shell.key("alice.key");
    let made = shell.value(&["asset", "create", "--key", "alice.key", "--data", r#"{"a":"b"}"#]);
    assert_eq!(text(&made, "outcome"), "committed");
}

/// A watcher, its lines as they come.
struct Watching {
    child: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Watching {
    fn start(shell: &Shell, line: &[&str]) -> Self {
        let mut command = shell.command(&[&["watch", "--output", "json"], line].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits until these transactions were told, in this order; whatever else comes.
    fn tells(&self, wanted: &[TransactionId]) -> Vec<Value> {
        let mut told: Vec<Value> = Vec::new();
        until("the watcher tells all", || {
            told.extend(self.lines.try_iter().map(|line| serde_json::from_str(&line).unwrap()));
            let ids: Vec<&str> = told.iter().filter_map(|event| event["id"].as_str()).collect();
            let wanted: Vec<String> = wanted.iter().map(TransactionId::to_string).collect();
            let found: Vec<&str> =
                ids.into_iter().filter(|id| wanted.iter().any(|one| one == id)).collect();
            (found == wanted).then_some(())
        });
        told
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_watcher_misses_nothing_when_its_validator_goes() {
    let mut federation = Federation::start("watch", 4);
    let mut shell = Shell::at(&federation.scratch.0, federation.nodes[0].api);
    shell.url = format!("http://127.0.0.1:{},{}", federation.nodes[3].api, shell.url);
    let mut committed = vec![federation.nodes[0].commits()];
    let watching = Watching::start(&shell, &["--from", "1", "--events", "transaction"]);
    watching.tells(&committed);
    committed.push(federation.nodes[0].commits());
    let told = watching.tells(&committed[1..]);
    assert!(told.iter().all(|event| event["event"] == "transaction"), "{told:?}");

    // Whoever is followed is killed; what is decided meanwhile is told by the other one.
    federation.nodes[3].kill();
    let later: Vec<TransactionId> = (0..3).map(|_| federation.nodes[0].commits()).collect();
    watching.tells(&later);
    let last = shell.value(&["tx", "show", &later[2].to_string()]);
    let from = format!("{}:{}", last["height"], last["index"]);
    let next = Watching::start(&shell, &["--from", &from, "--operation", "create"]);
    let newest = federation.nodes[0].commits();
    let told = next.tells(&[newest]);
    assert_ne!(told[0]["event_id"], from.as_str(), "behind that event");
    assert!(shell.fails(1, &["watch", "--from", "x"]).contains("400"));
}
