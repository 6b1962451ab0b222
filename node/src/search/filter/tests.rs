//! What conditions mean, and what is none.

use cairn_ledger::json::{self, Strictness};
use proptest::prelude::*;

use super::*;

const CAR: &str = r#"{"kind":"car","model":"Tango","km":1000,"big":9007199254740993,"on":true,
    "none":null,"empty":[],"tags":["a",["b",{"c":1}]],"parts":[{"n":1},{"n":[2,"x"]}],"a key":"é"}"#;
const NOTE: &str = r#"{"km":"far","at":-0.0,"e":1e2}"#;

fn holds(text: &str) -> bool {
    let asset = json::parse(CAR.as_bytes(), Strictness::Strict).unwrap();
    let metadata = json::parse(NOTE.as_bytes(), Strictness::Strict).unwrap();
    let document = Document { asset: Some(&asset), metadata: Some(&metadata) };
    Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).holds(&document)
}

#[test]
fn conditions_hold_as_they_are_documented() {
    #[rustfmt::skip]
    let table = [
        (r#"asset.kind = "car""#,                         true,  "a string"),
        (r#"asset.kind = "Car""#,                         false, "by its case"),
        (r#"asset.kind != "Car""#,                        true,  "not that string"),
        (r#"asset.nothing != 1"#,                         true,  "not that, where nothing is"),
        (r#"asset.nothing = null"#,                       false, "nothing is not null"),
        (r#"asset.none = null"#,                          true,  "null is"),
        (r#"exists asset.none"#,                          false, "null is not there"),
        (r#"exists asset.parts"#,                         true,  "objects are"),
        (r#"exists asset.empty"#,                         false, "an empty array has nothing"),
        (r#"exists asset"#,                               true,  "the whole"),
        (r#"asset.on = true"#,                            true,  "a truth"),
        (r#"asset.on = 1"#,                               false, "is no number"),
        (r#"asset.km = 1e3"#,                             true,  "numbers by their value"),
        (r#"asset.km = "1000""#,                          false, "and not as strings"),
        (r#"asset.km >= 1000 and asset.km <= 1000"#,      true,  "ends of ranges"),
        (r#"asset.km > 1000 or asset.km < 1000"#,         false, "beyond them"),
        (r#"metadata.km > 1"#,                            false, "a string is not beyond a number"),
        (r#"metadata.km > "e" and metadata.km < "g""#,    true,  "strings have an order"),
        (r#"asset.big = 9007199254740992"#,               true,  "doubles, and no more"),
        (r#"metadata.at = 0"#,                            true,  "minus zero is zero"),
        (r#"metadata.e = 100"#,                           true,  "exponents"),
        (r#"asset.model ^= "Tan""#,                       true,  "how it begins"),
        (r#"asset.model ^= """#,                          true,  "every string begins with nothing"),
        (r#"asset.km ^= """#,                             false, "a number does not"),
        (r#"asset.tags = "b""#,                           true,  "arrays are looked through"),
        (r#"asset.tags.c = 1"#,                           true,  "on the way, too"),
        (r#"asset.parts.n = "x" and asset.parts.n = 1"#,  true,  "any element"),
        (r#"asset.parts.n != 1"#,                         false, "no element"),
        (r#"asset."a key" = "\u00e9""#,                   true,  "keys and strings as JSON spells them"),
        (r#"not not asset.on = true"#,                    true,  "twice not"),
        (r#"asset.on=false or asset.on=true and asset.km=1"#, false, "and binds more than or"),
        (r#"(asset.on=true or asset.on=true) and not(asset.km=1)"#, true, "unless in parentheses"),
        ("\n asset.kind\t=\"car\"  ",                     true,  "space does not matter"),
    ];
    for (text, expected, why) in table {
        assert_eq!(holds(text), expected, "{text}: {why}");
    }
}

#[test]
fn what_is_no_condition_is_told_with_its_place() {
    let deep = "(".repeat(40) + "asset.a = 1";
    let many = vec!["asset.a = 1"; 33].join(" or ");
    let long = format!("asset.a = \"{}\"", "x".repeat(5000));
    let far = format!("asset.a < \"{}\"", "x".repeat(201));
    #[rustfmt::skip]
    let table = [
        ("",                       1,   "a path: asset or metadata, then \".\" and a key"),
        ("asset.a",                8,   "one of = != < <= > >= ^="),
        ("asset.a = ",             11,  "a string in \"\", a number, true, false or null"),
        ("asset.a = car",          11,  "a string in \"\", a number, true, false or null"),
        ("asset.a = NaN",          11,  "a string in \"\", a number, true, false or null"),
        ("asset.a = 01",           11,  "a string in \"\", a number, true, false or null"),
        ("asset.a = \"x",          11,  "a string that ends with \""),
        (r#"asset.a = "\x""#,      11,  "a string as JSON spells it"),
        ("asset.a < true",         11,  "a number or a string"),
        ("asset.a ^= 1",           12,  "a string"),
        ("asset.é\u{301} = 1",     8,   "one of = != < <= > >= ^="),
        ("asset.1 = 1",            7,   "a key: letters, digits, _ and -, or any string in \"\""),
        ("asset.a = 1 asset.b = 2", 13, "\"and\", \"or\" or the end"),
        ("(asset.a = 1",           13,  "\"and\", \"or\" or \")\""),
        ("owner = 1",              1,   "a path: asset or metadata, then \".\" and a key"),
        (&deep,                    18,  "at most 16 levels of \"not\" and \"(\""),
        (&many,                    481, "at most 32 comparisons"),
        (&long,                    1,   "the text has 5012 bytes, at most 4096 fit"),
        (&far,                     11,  "a string of at most 200 bytes, or = and a longer one"),
    ];
    for (text, at, wanted) in table {
        let expected = FilterError { at, wanted: wanted.to_owned() };
        assert_eq!(Filter::parse(text), Err(expected), "{text:.60}");
    }
}

#[test]
fn paths_are_read_and_written() {
    for text in ["asset", "metadata.a.b-c._d", r#"asset."a \"key".b"#, r#"asset."1""#, "asset.ключ"]
    {
        assert_eq!(Path::parse(text).unwrap().to_string(), text);
    }
    let error = Path::parse("asset.a b").unwrap_err();
    assert_eq!(error.to_string(), "at character 9: \".\" and a key, or the end");
    assert!(Path::parse("asset metadata").is_err());
    assert!(Path::parse("asset.").is_err());
}

proptest! {
    #[test]
    fn any_text_is_a_condition_or_an_error(
        text in "\\PC{0,60}",
        near in r#"(asset|metadata|\.a|\."é\\"|"|and|or|not|exists|\(|\)|=|<|\^=| |1|-|true){0,20}"#,
    ) {
        for text in [text, near] {
            if let Err(error) = Filter::parse(&text) {
                prop_assert!(error.at <= text.chars().count() + 1);
            }
            let _ = Path::parse(&text);
        }
    }
}
