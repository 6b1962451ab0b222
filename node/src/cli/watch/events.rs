//! Server-sent events out of bytes, as the HTML standard has them.

use std::io::{self, BufRead, Read};

/// Longest line that is read. Events are far smaller.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Most bytes of one event.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// One event. One without data says no more than how far the stream is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) data: String,
}

/// Reads events.
pub(super) struct Events<R>(R);

impl<R: BufRead> Events<R> {
    pub(super) fn new(reader: R) -> Self {
        Self(reader)
    }

    /// The next whole event; nothing at the end. What is cut off is no event.
    pub(super) fn next(&mut self) -> io::Result<Option<Event>> {
        let mut event = Event::default();
        let mut lines = 0;
        loop {
            let Some(line) = self.line()? else { return Ok(None) };
            if line.is_empty() {
                if event.id.is_some() || lines > 0 {
                    return Ok(Some(event));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" if !value.contains('\0') => event.id = Some(value.to_owned()),
                "event" => value.clone_into(&mut event.name),
                "data" => {
                    if lines > 0 {
                        event.data.push('\n');
                    }
                    event.data.push_str(value);
                    lines += 1;
                }
                // Comments keep the connection alive; the rest is not for us.
                _ => {}
            }
            if event.data.len() > EVENT_BYTES_MAX {
                return Err(io::Error::other("an event is larger than any should be"));
            }
        }
    }

    /// A line without its end; nothing when there is none, or only a part of one.
    fn line(&mut self) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        (&mut self.0).take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
        if bytes.pop() != Some(b'\n') {
            if bytes.len() as u64 + 1 >= LINE_BYTES_MAX {
                return Err(io::Error::other("a line is longer than any should be"));
            }
            return Ok(None);
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(Option<String>, String, String)> {
        let mut events = Events::new(text.as_bytes());
        let mut found = Vec::new();
        while let Some(Event { id, name, data }) = events.next().unwrap() {
            found.push((id, name, data));
        }
        found
    }

    #[test]
    fn events_are_read_as_the_standard_has_them() {
        let event = |id: &str, name: &str, data: &str| {
            let id = (!id.is_empty()).then(|| id.to_owned());
            (id, name.to_owned(), data.to_owned())
        };
        #[rustfmt::skip]
        let table = [
            ("id: 1:0\nevent: transaction\ndata: {}\n\n", vec![event("1:0", "transaction", "{}")], "the usual"),
            (": still here\nid: 9\n\n",                   vec![event("9", "", "")],   "how far it is"),
            (": only a comment\n\n\n",                    vec![],                     "nothing"),
            ("retry: 5\n\n",                              vec![],                     "not for us"),
            ("data:a\r\ndata: b\r\n\r\n",                 vec![event("", "", "a\nb")], "lines are joined"),
            ("id: 1\ndata: a\n\nid: 2\ndata: b\n",        vec![event("1", "", "a")],  "cut off before its end"),
            ("id: 1\ndata: a\n\nid: 2\nda",               vec![event("1", "", "a")],  "cut off in a line"),
            ("data\n\n",                                  vec![event("", "", "")],    "no colon"),
        ];
        for (text, expected, why) in table {
            assert_eq!(all(text), expected, "{why}");
        }
    }

    #[test]
    fn nobody_can_fill_the_memory() {
        let endless = io::BufReader::new(io::repeat(b'x'));
        assert!(Events::new(endless).next().is_err());
        let line = format!("data: {}\n", "x".repeat(1 << 19));
        assert!(Events::new(line.repeat(20).as_bytes()).next().is_err());
    }
}
