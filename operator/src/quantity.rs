//! Kubernetes quantities, as the API server reads them.

const NANO: i128 = 1_000_000_000;

/// The bytes that a quantity stands for, rounded up. `None` for what is none, less than nothing, or more
/// than a `u64` holds.
#[must_use]
pub fn bytes(quantity: &str) -> Option<u64> {
    let nano = u128::try_from(billionths(quantity)?).ok()?;
    u64::try_from(nano.div_ceil(NANO.unsigned_abs())).ok()
}

/// A quantity in billionths: exact for whatever a pod may ask for. `None` for what is none.
#[must_use]
pub fn billionths(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'));
    let (number, suffix) = text.split_at(end.unwrap_or(text.len()));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = number.bytes().any(|byte| byte.is_ascii_digit());
    if !digits || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let sign = if whole.starts_with('-') { -1 } else { 1 };
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
    let nano = whole.checked_mul(NANO)?.checked_add(sign * fraction)?;
    let power = |base: i128, exponent| base.checked_pow(exponent);
    let (factor, divisor) = match suffix {
        "" => (1, 1),
        "n" => (1, NANO),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (power(1000, 2)?, 1),
        "G" => (power(1000, 3)?, 1),
        "T" => (power(1000, 4)?, 1),
        "P" => (power(1000, 5)?, 1),
        "E" => (power(1000, 6)?, 1),
        "Ki" => (1024, 1),
        "Mi" => (power(1024, 2)?, 1),
        "Gi" => (power(1024, 3)?, 1),
        "Ti" => (power(1024, 4)?, 1),
        "Pi" => (power(1024, 5)?, 1),
        "Ei" => (power(1024, 6)?, 1),
        exponent => {
            let exponent: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = power(10, exponent.unsigned_abs())?;
            if exponent < 0 { (1, power) } else { (power, 1) }
        }
    };
    Some(nano.checked_mul(factor)? / divisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_compared_by_what_they_stand_for() {
        #[rustfmt::skip]
        let table = [
            ("1Gi",    Some(1 << 30)),
            ("1024Mi", Some(1 << 30)),
            ("1.5Gi",  Some(3 << 29)),
            ("1G",     Some(1_000_000_000)),
            ("1e9",    Some(1_000_000_000)),
            ("1500m",  Some(2)),
            ("0",      Some(0)),
            ("-1Gi",   None),
            ("1GiB",   None),
            (".",      None),
            ("",       None),
            ("99999Ei", None),
        ];
        for (text, value) in table {
            assert_eq!(bytes(text), value, "{text}");
        }
    }

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        #[rustfmt::skip]
        let table = [
            ("1", Some("1000m")), ("1Ki", Some("1024")), ("1Ti", Some("1024Gi")), ("1.5Gi", Some("1536Mi")),
            ("1e3", Some("1k")), ("1E", Some("1000P")), ("100n", Some("0.1u")), ("-1", Some("-1000m")),
            ("5e-1", Some("500m")), (".5", Some("500m")), ("2Ei", Some("2048Pi")),
            ("", None), ("Gi", None), ("1Gib", None), ("1..2", None), ("1 Gi", None), ("--1", None), ("+", None),
            ("1e99", None), ("99999999999999999999999999999999999999999", None),
        ];
        for (text, same) in table {
            match same {
                Some(same) => assert_eq!(billionths(text), billionths(same), "{text} is {same}"),
                None => assert_eq!(billionths(text), None, "{text} is no quantity"),
            }
            assert_eq!(billionths(text).is_some(), same.is_some(), "{text}");
        }
    }
}
