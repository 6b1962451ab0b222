//! Whose trace it is: the caller's word, as `traceparent` has it (W3C Trace Context, level 1).

use axum::http::HeaderMap;

/// Names one trace.
pub(super) type TraceId = [u8; 16];

/// Names one span of a trace.
pub(super) type SpanId = [u8; 8];

/// The bit that says: this trace is kept.
const SAMPLED: u8 = 1;

/// What a caller says of tracing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// It keeps a trace, and this is to be a part of it.
    Asks { trace: TraceId, parent: SpanId },
    /// It has a trace and does not keep it: half a trace is of no use to anybody.
    Declines,
    /// Nothing, or nothing that makes sense, which is the same (§ 3.2.2.3 and 4.3).
    SaysNothing,
}

impl Caller {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all("traceparent").iter();
        match (given.next(), given.next()) {
            (Some(one), None) => one.to_str().ok().and_then(read).unwrap_or(Self::SaysNothing),
            _ => Self::SaysNothing,
        }
    }
}

/// `00-TRACE-PARENT-FLAGS`; later versions may say more behind it.
fn read(text: &str) -> Option<Caller> {
    let mut parts = text.split('-');
    let [version] = hexadecimal(parts.next()?)?;
    let trace: TraceId = hexadecimal(parts.next()?)?;
    let parent: SpanId = hexadecimal(parts.next()?)?;
    let [flags] = hexadecimal(parts.next()?)?;
    let more = parts.next().is_some();
    if version == 0xFF || (version == 0 && more) || trace == [0; 16] || parent == [0; 8] {
        return None;
    }
    Some(match flags & SAMPLED {
        SAMPLED => Caller::Asks { trace, parent },
        _ => Caller::Declines,
    })
}

/// Lower case only, as the specification has it.
fn hexadecimal<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_caller_is_heard_when_it_speaks_as_the_specification_says() {
        let asks = Caller::Asks { trace: [0xA1; 16], parent: [0xB2; 8] };
        let (trace, parent) = ("a1".repeat(16), "b2".repeat(8));
        let of = |version: &str, flags: &str| format!("{version}-{trace}-{parent}-{flags}");
        let zeros = |digits: usize| "0".repeat(digits);
        #[rustfmt::skip]
        let table = [
            (of("00", "01"),                            asks,                "sampled"),
            (of("00", "03"),                            asks,                "sampled, and a flag of level 2"),
            (of("00", "00"),                            Caller::Declines,    "not sampled"),
            (of("00", "02"),                            Caller::Declines,    "another flag alone"),
            (of("cc", "01"),                            asks,                "a later version"),
            (of("cc", "01-what-the-future-holds"),      asks,                "which says more"),
            (of("00", "01-more"),                       Caller::SaysNothing, "version 0 says no more"),
            (of("ff", "01"),                            Caller::SaysNothing, "a version that there never is"),
            (of("00", "1"),                             Caller::SaysNothing, "half a byte"),
            (of("00", "0x"),                            Caller::SaysNothing, "no digits"),
            (of("00", "01").to_uppercase(),             Caller::SaysNothing, "upper case"),
            (format!("00-{}-{parent}-01", zeros(32)),   Caller::SaysNothing, "no trace"),
            (format!("00-{trace}-{}-01", zeros(16)),    Caller::SaysNothing, "no parent"),
            (format!("00-{trace}-{parent}"),            Caller::SaysNothing, "no flags"),
            (format!("00-{parent}-{trace}-01"),         Caller::SaysNothing, "the wrong way round"),
            (String::new(),                             Caller::SaysNothing, "nothing"),
        ];
        for (text, said, why) in table {
            let headers = HeaderMap::from_iter([(
                axum::http::HeaderName::from_static("traceparent"),
                HeaderValue::from_str(&text).unwrap(),
            )]);
            assert_eq!(Caller::of(&headers), said, "{why}: {text}");
        }
        let mut twice = HeaderMap::new();
        twice.append("traceparent", HeaderValue::from_str(&of("00", "01")).unwrap());
        twice.append("traceparent", HeaderValue::from_str(&of("00", "01")).unwrap());
        assert_eq!(Caller::of(&twice), Caller::SaysNothing, "two words are none");
        assert_eq!(Caller::of(&HeaderMap::new()), Caller::SaysNothing);
    }
}
