//! Whether an answer says of each transaction what it must say.

use crate::{http::Answer, workload::Expected};

/// What the answer to one request said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Transactions that are committed, as they should.
    pub(crate) committed: usize,
    /// Transactions that were refused, as they should, for the right reason.
    pub(crate) refused: usize,
    /// Transactions that heard something else.
    pub(crate) wrong: usize,
}

/// Reads an answer. It is scanned, not parsed: the load generator shares the cores.
pub(crate) fn read(answer: &Answer, expected: &[Expected]) -> Heard {
    let mut heard = Heard { committed: 0, refused: 0, wrong: 0 };
    if let [one] = expected {
        let report = Report { committed: answer.status == 200, text: &answer.body };
        count(&mut heard, *one, &report);
        return heard;
    }
    let mut reports = reports(&answer.body);
    for one in expected {
        match reports.next().filter(|_| answer.status == 200) {
            Some(report) => count(&mut heard, *one, &report),
            None => heard.wrong += 1,
        }
    }
    heard
}

/// What one transaction heard.
struct Report<'a> {
    committed: bool,
    /// From its status on.
    text: &'a [u8],
}

fn count(heard: &mut Heard, expected: Expected, report: &Report<'_>) {
    let refused = |codes: &[&[u8]]| {
        !report.committed && codes.iter().any(|code| find(report.text, code).is_some())
    };
    match expected {
        Expected::Committed if report.committed => heard.committed += 1,
        // Spent in a block, or by one that is on its way.
        Expected::DoubleSpend if refused(&[b"\"DOUBLE_SPEND\"", b"\"INPUT_PENDING\""]) => {
            heard.refused += 1;
        }
        Expected::BadSignature if refused(&[b"\"SIG_INVALID\""]) => heard.refused += 1,
        _ => heard.wrong += 1,
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
            (400, BAD.to_owned(),          vec![DoubleSpend],            (0, 0, 1), "for another reason"),
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
            assert_eq!(read(&answer, &expected), Heard { committed, refused, wrong }, "{why}");
        }
    }
}
