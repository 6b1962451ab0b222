//! A validator that is careful: under TLS, to those whom it knows, a few times a second; and
//! one that is told nonsense about it.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::federation::{Federation, until};

/// A certificate for this machine and its key, in a directory.
fn certificate(directory: &Path) {
    #[rustfmt::skip]
    let made = Command::new("openssl").current_dir(directory).args([
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-days", "30", "-subj", "/CN=cairn", "-addext", "subjectAltName=IP:127.0.0.1",
        "-addext", "basicConstraints=critical,CA:FALSE",
        "-out", "tls.crt", "-keyout", "tls.key",
    ]).output();
    let made = made.expect("this test needs openssl: a package of that name has it");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Who trusts that certificate and no other.
fn client(directory: &Path) -> ureq::Agent {
    let pem = fs::read(directory.join("tls.crt")).unwrap();
    let roots = RootCerts::new_with_certs(&[Certificate::from_pem(&pem).unwrap()]);
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .build();
    config.into()
}

/// A new API key: what its user shows, and the line for the file.
fn api_key(name: &str) -> (String, String) {
    let made = Command::new(env!("CARGO_BIN_EXE_cairn"))
        .args(["key", "api", "--output", "json", "--name", name])
        .output()
        .unwrap();
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let field = |name: &str| made[name].as_str().unwrap().to_owned();
    (field("key"), field("line"))
}

#[test]
fn a_careful_validator_serves_those_whom_it_knows_and_logs_no_secret() {
    let mut federation = Federation::found("careful", 1);
    let node = &mut federation.nodes[0];
    let directory = node.directory.clone();
    certificate(&directory);
    let (alice, line) = api_key("alice");
    fs::write(directory.join("keys.toml"), format!("{line}\n")).unwrap();
    let config = fs::read_to_string(node.config()).unwrap();
    let careful = "[api]\naccess_log = true\n\
                   [api.tls]\ncertificates = \"tls.crt\"\nkey = \"tls.key\"\n\
                   [api.keys]\nfile = \"keys.toml\"\n\
                   [api.rates.key]\nrequests_per_s = 1\nrequests_burst = 3\n";
    fs::write(node.config(), format!("{config}\n{careful}")).unwrap();
    node.start_and_serve();

    let (agent, api) = (client(&directory), node.api);
    let get = move |key: Option<&str>| {
        let mut request = agent.get(format!("https://127.0.0.1:{api}/api/v1/validators"));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        request.call().unwrap()
    };
    assert_eq!(get(None).status(), 401);
    for _ in 0..3 {
        assert_eq!(get(Some(&alice)).status(), 200);
    }
    let refused = until("the bucket is empty", || {
        Some(get(Some(&alice))).filter(|answer| answer.status() == 429)
    });
    assert_eq!(refused.headers()["retry-after"], "1");
    assert!(node.asks(api, "/api/v1/").is_none(), "not in the clear");
    let (_, page) = node.asks(node.admin, "/metrics").unwrap();
    let expiry =
        page.lines().find(|line| line.starts_with("cairn_tls_certificate_expiry_seconds "));
    assert!(!expiry.unwrap().ends_with(" 0"), "{expiry:?}");

    // The files are looked at while it runs: Alice goes, Bob comes.
    let (bob, line) = api_key("bob");
    fs::write(directory.join("keys.toml"), format!("{line}\n")).unwrap();
    until("Bob is known", || (get(Some(&bob)).status() == 200).then_some(()));
    assert_eq!(get(Some(&alice)).status(), 401);
    assert!(node.stop().success());
    let logged = node.logged();
    assert!(logged.contains("cairn::access") && logged.contains("v1/validators"), "{logged}");
    for secret in [&alice, &bob] {
        assert!(!logged.contains(secret.as_str()), "{logged}");
    }
}

#[test]
fn nonsense_about_access_ends_the_start_with_the_file_that_it_is_in() {
    let mut federation = Federation::found("careless", 1);
    let node = &mut federation.nodes[0];
    let config = fs::read_to_string(node.config()).unwrap();
    certificate(&node.directory);
    fs::write(node.directory.join("nonsense"), "nonsense").unwrap();
    #[rustfmt::skip]
    let table = [
        ("[api.keys]\nfile = \"nowhere\"",                                   "nowhere",  "no file of keys"),
        ("[api.keys]\nfile = \"nonsense\"",                                  "nonsense", "no TOML"),
        ("[api.tls]\ncertificates = \"tls.crt\"\nkey = \"nonsense\"",        "nonsense", "no key"),
        ("[api.tls]\ncertificates = \"nowhere\"\nkey = \"tls.key\"",         "nowhere",  "no certificate"),
        ("[api.oidc]\nissuer = \"https://x.example\"\naudience = [\"a\"]\njwks_file = \"nonsense\"", "nonsense", "no keys"),
    ];
    for (section, named, why) in table {
        fs::write(node.config(), format!("{config}\n{section}\n")).unwrap();
        let ended = node.fails();
        assert_eq!(ended.code, Some(10), "{why}: {ended:?}");
        let said: Vec<_> = ended.said.lines().filter(|line| line.starts_with("cairn: ")).collect();
        assert!(said.len() == 1 && said[0].contains(named), "{why}: {ended:?}");
        assert!(!node.data().join("blocks").exists(), "{why}: nothing was begun");
    }
}
