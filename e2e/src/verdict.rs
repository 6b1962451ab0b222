//! Whether an answer says of each transaction what it must say.

use crate::{http::Answer, workload::Expected};

/// What the answer to one request said.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Transactions that are committed, as they should.
    pub(crate) committed: usize,
    /// Transactions that were refused, as they should, for the right reason.
    pub(crate) refused: usize,
    /// Transactions that heard something else.
    pub(crate) wrong: usize,
    /// What the first of those should have heard, and did.
    pub(crate) first_wrong: Option<String>,
}

/// Longest part of an answer that is shown to people.
const SHOWN: usize = 300;

/// Reads an answer. It is scanned, not parsed: the load generator shares the cores.
pub(crate) fn read(answer: &Answer, expected: &[Expected]) -> Heard {
    let mut heard = Heard::default();
    if let [one] = expected {
        heard.count(*one, Report { committed: answer.status == 200, text: &answer.body });
        return heard;
    }
    let mut reports = reports(&answer.body);
    for one in expected {
        let report = reports.next().filter(|_| answer.status == 200);
        heard.count(*one, report.unwrap_or(Report { committed: false, text: &answer.body }));
    }
    heard
}

/// Whether a validator that is behind asks to be sent the same again. Nobody is told of what is
/// already committed that it is wrong, so the whole request may be.
pub(crate) fn asks_again(answer: &Answer) -> bool {
    find(&answer.body, b"\"NOT_CURRENT\"").is_some()
}

/// What one transaction heard.
struct Report<'a> {
    committed: bool,
    /// From its status on.
    text: &'a [u8],
}

impl Heard {
    fn count(&mut self, expected: Expected, report: Report<'_>) {
        if report.committed && expected == Expected::Committed {
            self.committed += 1;
        } else if !report.committed && reasons(expected).iter().any(|code| report.says(code)) {
            self.refused += 1;
        } else {
            self.wrong += 1;
            self.first_wrong.get_or_insert_with(|| {
                let text = String::from_utf8_lossy(report.text);
                let shown: String = text.chars().take(SHOWN).collect();
                format!("{expected:?} was expected, this came: {shown}")
            });
        }
    }
}

/// The codes of right reasons to refuse.
fn reasons(expected: Expected) -> &'static [&'static str] {
    match expected {
        Expected::Committed => &[],
        // Spent in a block, or by one that is on its way.
        Expected::DoubleSpend => &["DOUBLE_SPEND", "INPUT_PENDING"],
        // A validator that is a block behind names the missing input, as upstream does, before it names
        // the signature.
        Expected::BadSignature => &["SIG_INVALID", "INPUT_NOT_FOUND"],
    }
}

impl Report<'_> {
    fn says(&self, code: &str) -> bool {
        find(self.text, format!("\"{code}\"").as_bytes()).is_some()
    }
}

/// The reports of an answer on many, in order.
fn reports(body: &[u8]) -> impl Iterator<Item = Report<'_>> {
    const STATUS: &[u8] = b"\"status\":\"";
    let mut rest = find(body, STATUS).map(|at| &body[at + STATUS.len()..]);
    std::iter::from_fn(move || {
        let from = rest?;
        let next = find(from, STATUS);
        rest = next.map(|at| &from[at + STATUS.len()..]);
        let text = &from[..next.unwrap_or(from.len())];
        Some(Report { committed: text.starts_with(b"committed"), text })
    })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = needle.first()?;
    let mut from = 0;
    loop {
        let at = from + haystack.get(from..)?.iter().position(|byte| byte == first)?;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Expected::{BadSignature, Committed, DoubleSpend};

    #[test]
    fn each_transaction_is_held_to_what_it_must_hear() {
        const YES: &str = r#"{"id":"00","status":"committed","height":7,"index":0,"as_of":7}"#;
        const TWICE: &str = r#"{"id":"00","status":"refused","reason":{"code":"DOUBLE_SPEND","message":"spent"},"as_of":7}"#;
        const BAD: &str = r#"{"id":"00","status":"refused","reason":{"code":"SIG_INVALID","message":"no"},"as_of":7}"#;
        const LATER: &str = r#"{"id":"00","status":"unknown","as_of":7}"#;
        let many = |reports: &[&str]| format!("[{}]", reports.join(","));
        #[rustfmt::skip]
        let table = [ // status, body, expected; committed, refused, wrong
            (200, YES.to_owned(),          vec![Committed],              (1, 0, 0), "one"),
            (409, TWICE.to_owned(),        vec![Committed],              (0, 0, 1), "a good one refused"),
            (409, TWICE.to_owned(),        vec![DoubleSpend],            (0, 1, 0), "a bad one refused"),
            (200, YES.to_owned(),          vec![DoubleSpend],            (0, 0, 1), "a bad one committed"),
            (200, YES.replace("index", "DOUBLE_SPEND"), vec![DoubleSpend], (0, 0, 1), "committed, whatever else it says"),
            (400, BAD.to_owned(),          vec![DoubleSpend],            (0, 0, 1), "for another reason"),
            (400, BAD.replace("SIG_INVALID", "INPUT_NOT_FOUND"), vec![BadSignature], (0, 1, 0), "a block behind"),
            (400, BAD.replace("SIG_INVALID", "INPUT_NOT_FOUND"), vec![DoubleSpend],  (0, 0, 1), "what is spent was there"),
            (503, String::new(),           vec![BadSignature],           (0, 0, 1), "not an answer"),
            (200, many(&[YES, YES]),       vec![Committed, Committed],   (2, 0, 0), "two"),
            (200, many(&[YES, TWICE]),     vec![Committed, DoubleSpend], (1, 1, 0), "each its own"),
            (200, many(&[TWICE, YES]),     vec![Committed, DoubleSpend], (0, 0, 2), "in another order"),
            (200, many(&[BAD, YES]),       vec![BadSignature, Committed],(1, 1, 0), "a bad signature"),
            (200, many(&[YES, LATER]),     vec![Committed, Committed],   (1, 0, 1), "undecided is not committed"),
            (200, many(&[YES]),            vec![Committed, Committed],   (1, 0, 1), "one report is missing"),
            (429, many(&[YES, YES]),       vec![Committed, Committed],   (0, 0, 2), "turned away"),
        ];
        for (status, body, expected, (committed, refused, wrong), why) in table {
            let answer = Answer { status, height: None, body: body.into_bytes() };
            let heard = read(&answer, &expected);
            assert_eq!(
                (heard.committed, heard.refused, heard.wrong),
                (committed, refused, wrong),
                "{why}"
            );
            assert_eq!(heard.first_wrong.is_some(), wrong > 0, "{why}");
        }
    }
}
