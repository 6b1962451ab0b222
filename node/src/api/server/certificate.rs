//! When a certificate ends: the one thing that we read in X.509 ourselves, and only in our own.

/// Unix time of `notAfter`; nothing when the bytes are no certificate (RFC 5280, 4.1).
pub(super) fn not_after(der: &[u8]) -> Option<i64> {
    let (certificate, _) = element(der, 0x30)?;
    let (signed, _) = element(certificate, 0x30)?;
    // The version is tagged, and absent in version 1; serial number, algorithm and issuer follow.
    let rest = element(signed, 0xa0).map_or(signed, |(_, rest)| rest);
    let (_, rest) = element(rest, 0x02)?;
    let (_, rest) = element(rest, 0x30)?;
    let (_, rest) = element(rest, 0x30)?;
    let (validity, _) = element(rest, 0x30)?;
    let (_, after) = time(validity)?;
    Some(time(after)?.0)
}

/// The content of the first element, which must have that tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if found != tag {
        return None;
    }
    if first < 0x80 {
        return rest.split_at_checked(first.into());
    }
    let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
    if length.len() > 4 {
        return None;
    }
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}

/// `YYMMDDhhmmssZ` before 2050, `YYYYMMDDhhmmssZ` from then on.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let short = element(bytes, 0x17);
    let (text, rest) = short.or_else(|| element(bytes, 0x18))?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, text) = text.split_at_checked(if short.is_some() { 2 } else { 4 })?;
    let two = |at: usize| text.get(at..at + 2)?.parse::<i64>().ok();
    let year: i64 = year.parse().ok()?;
    let year = match short {
        Some(_) if year < 50 => 2000 + year,
        Some(_) => 1900 + year,
        None => year,
    };
    let days = days_since_1970(year, two(0)?, two(2)?);
    Some((((days * 24 + two(4)?) * 60 + two(6)?) * 60 + two(8)?, rest))
}

/// By the calendar that counts years from March, so that leap days come last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        #[rustfmt::skip]
        let table = [
            ((1970,  1,  1),      0, "the first"),
            ((2000,  2, 29), 11_016, "a leap day of a year that 400 divides"),
            ((2000,  3,  1), 11_017, "the day after"),
            ((2026, 11, 21), 20_778, "an ordinary day"),
            ((2100,  3,  1), 47_541, "100 divides this year: no leap day"),
        ];
        for ((year, month, day), days, why) in table {
            assert_eq!(days_since_1970(year, month, day), days, "{why}");
        }
    }

    #[test]
    fn what_is_no_certificate_ends_never() {
        let time = b"\x17\x0d700101000000Z\x18\x0f20500101000000Z";
        assert_eq!(super::time(time).map(|(time, _)| time), Some(0));
        assert_eq!(super::time(&time[15..]).map(|(time, _)| time), Some(2_524_608_000));
        for cut in 0..time.len() {
            let _ = super::time(&time[..cut]);
        }
        for bytes in [
            &b""[..],
            b"\x30",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x03\x30\x01\xa0",
            b"\x30\x85\0\0\0\0\0",
        ] {
            assert_eq!(not_after(bytes), None);
        }
    }
}
