//! Kubernetes quantities, as far as sizes of volumes need them.

/// The bytes that a quantity stands for, rounded up. `None` for what is none, or more than a `u64` holds.
#[must_use]
pub fn bytes(quantity: &str) -> Option<u64> {
    let digits = quantity.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let (numerator, denominator) = scale(suffix)?;
    let tens = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let value: u128 = format!("0{whole}{fraction}").parse().ok()?;
    let scaled = value.checked_mul(numerator)?;
    u64::try_from(scaled.div_ceil(tens.checked_mul(denominator)?)).ok()
}

/// What a suffix multiplies and divides by.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    let binary = |power: u32| Some((1 << (10 * power), 1));
    let decimal = |power: u32| Some((1000_u128.pow(power), 1));
    match suffix {
        "" => Some((1, 1)),
        "m" => Some((1, 1000)),
        "k" => decimal(1),
        "M" => decimal(2),
        "G" => decimal(3),
        "T" => decimal(4),
        "P" => decimal(5),
        "E" => decimal(6),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?.parse::<u32>().ok()?;
            Some((10_u128.checked_pow(exponent.min(20))?, 1))
        }
    }
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
}
