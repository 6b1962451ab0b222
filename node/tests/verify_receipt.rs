//! `cairn verify receipt`, the real command, over the receipts of `docs/receipt-vectors`.
//! That no changed byte is proof is tested over the library that it calls
//! (`node/verifier/tests/bytes.rs`); here every field is changed once.

#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/receipt-vectors")
}

/// How the command ended, and what it said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }
}

/// Runs it among the vectors.
fn verify(arguments: &[&str], stdin: &[u8]) -> Said {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cairn"))
        .args(["verify", "receipt"])
        .args(arguments)
        .current_dir(vectors())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended without reading.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    Said { code, out: text(output.stdout), err: text(output.stderr) }
}

fn read(name: &str) -> String {
    fs::read_to_string(vectors().join(name)).unwrap()
}

#[test]
fn every_vector_is_judged_as_it_is_written_down() {
    let proven: Vec<Value> = serde_json::from_str(&read("proven.json")).unwrap();
    for case in proven {
        let (file, genesis) =
            (case["receipt"].as_str().unwrap(), case["genesis"].as_str().unwrap());
        let said = verify(&[file, "--genesis", genesis, "--output", "json"], b"");
        let mut expected = case["verdict"].clone();
        expected["file"] = file.into();
        assert_eq!((said.code, said.json(), said.err.as_str()), (0, expected, ""));
    }
    let broken: Vec<Value> = serde_json::from_str(&read("broken.json")).unwrap();
    for case in broken {
        let (genesis, receipt) = (case["genesis"].as_str().unwrap(), &case["receipt"]);
        let stdin = receipt.as_str().unwrap().as_bytes();
        let said = verify(&["-", "--genesis", genesis, "--output", "json"], stdin);
        let told = said.json();
        assert_eq!((said.code, &told["valid"], &told["field"]), (1, &json!(false), &case["field"]));
        let reason = format!("cairn: -: proves nothing: {}: ", case["field"].as_str().unwrap());
        assert!(said.err.starts_with(&reason), "{}: {}", case["name"], said.err);
    }
}

/// The first letter or digit of each value, changed.
fn bent(value: &Value) -> Vec<Value> {
    match value {
        Value::Object(members) => {
            let each = members.iter().flat_map(|(name, member)| {
                bent(member).into_iter().map(move |other| {
                    let mut with = members.clone();
                    with.insert(name.clone(), other);
                    with.into()
                })
            });
            each.collect()
        }
        Value::Array(elements) => {
            let each = (0..elements.len()).flat_map(|at| {
                bent(&elements[at]).into_iter().map(move |other| {
                    let mut with = elements.clone();
                    with[at] = other;
                    with.into()
                })
            });
            each.collect()
        }
        Value::String(text) => {
            let other = if text.starts_with('0') { '1' } else { '0' };
            vec![format!("{other}{}", text.chars().skip(1).collect::<String>()).into()]
        }
        Value::Number(number) => vec![(number.as_u64().unwrap() ^ 1).into()],
        Value::Bool(_) | Value::Null => vec![],
    }
}

#[test]
fn a_receipt_with_any_field_changed_proves_nothing() {
    for name in ["refused.json", "malformed.json"] {
        let receipt: Value = serde_json::from_str(&read(name)).unwrap();
        let all = bent(&receipt);
        assert!(all.len() > 12, "{}", all.len());
        for other in all {
            let said = verify(&["-", "--genesis", "genesis.json"], other.to_string().as_bytes());
            assert_eq!((said.code, said.out.as_str()), (1, ""), "{other:#}");
            assert!(said.err.starts_with("cairn: -: proves nothing: receipt"), "{}", said.err);
        }
    }
}

#[test]
fn a_genesis_with_any_field_changed_is_refused() {
    let genesis: Value = serde_json::from_str(&read("genesis.json")).unwrap();
    let scratch = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bent-genesis.json");
    for other in bent(&genesis) {
        fs::write(&scratch, other.to_string()).unwrap();
        let said = verify(&["committed.json", "--genesis", scratch.to_str().unwrap()], b"");
        assert_eq!((said.code, said.out.as_str()), (11, ""), "{other:#}");
        assert!(said.err.contains(": genesis"), "{}", said.err);
    }
}

#[test]
fn several_files_are_judged_one_by_one() {
    let good = ["committed.json", "refused.json", "malformed.json", "--genesis", "genesis.json"];
    let said = verify(&good, b"");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    for piece in [
        "receipt      committed.json\n",
        "proven       the federation of bicycles decided this transaction\n",
        "outcome      refused\nreason       DoubleSpend: input `",
        "transaction  without an id\n",
        "block        height 12, index 2\n",
        "time         Tue, 14 Nov 2023 22:13:20 GMT\n",
        "signed by    member-0, member-2, member-3 (3 of 4 voting power)\n",
    ] {
        assert!(said.out.contains(piece), "{piece}\nin:\n{}", said.out);
    }

    let mixed = ["weighted.json", "refused.json", "nowhere.json", "--genesis", "genesis.json"];
    let said = verify(&mixed, b"");
    assert_eq!(said.code, 1);
    assert!(said.out.contains("refused.json") && !said.out.contains("weighted"), "{}", said.out);
    let lines: Vec<&str> = said.err.lines().collect();
    assert!(
        lines[0].starts_with("cairn: weighted.json: proves nothing: receipt.chain_id: of chain")
    );
    assert!(lines[1].starts_with("cairn: nowhere.json: cannot be read: "), "{}", said.err);
    let said = verify(&[&mixed[..], &["--output", "json"]].concat(), b"");
    let told = said.json();
    let valid: Vec<&Value> = told.as_array().unwrap().iter().map(|one| &one["valid"]).collect();
    assert_eq!((said.code, valid), (1, vec![&json!(false), &json!(true), &json!(false)]));
}

#[test]
fn what_is_no_receipt_or_no_genesis_says_so() {
    let large = vec![b' '; (1 << 20) + 1];
    #[rustfmt::skip]
    let table: [(&[&str], &[u8], i32, &str); 5] = [
        (&["-", "--genesis", "genesis.json"],            b"",     1,  "cairn: -: proves nothing: receipt: not JSON: EOF"),
        (&["-", "--genesis", "genesis.json"],            &large,  1,  "cairn: -: proves nothing: receipt: larger than 1048576 bytes"),
        (&[".", "--genesis", "genesis.json"],            b"",     1,  "cairn: .: cannot be read: "),
        (&["committed.json", "--genesis", "nowhere"],    b"",     11, "cairn: nowhere: cannot be read: "),
        (&["committed.json", "--genesis", "refused.json"], b"",   11, "cairn: refused.json: genesis: unknown field"),
    ];
    for (arguments, stdin, code, begins) in table {
        let said = verify(arguments, stdin);
        assert_eq!((said.code, said.out.as_str()), (code, ""), "{arguments:?}: {}", said.err);
        assert!(said.err.starts_with(begins), "{}\nshould begin: {begins}", said.err);
    }
}
