//! Points in time of signatures (RFC 4034 section 3.2).

use super::fields::number;

/// Reads `YYYYMMDDHHmmSS` in UTC, or seconds since 1970; modulo 2^32 (RFC 4034 section 3.1.5).
pub(super) fn parse(text: &[u8]) -> Option<u32> {
    if text.len() != 14 {
        return number(text, u64::from(u32::MAX)).map(|seconds| seconds as u32);
    }
    let part = |from: usize, to: usize| number(text.get(from..to)?, 9999);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u64::from(leap(year)),
        1..=12 => 31,
        _ => return None,
    };
    if year < 1970 || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Years counted from March, so that the leap day is the last of a year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let since_year_0 =
        year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    let days = since_year_0 - 719_469;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dates_and_seconds() {
        for (text, expected) in [
            ("19700101000000", Some(0)),
            ("20000229235959", Some(951_868_799)),
            ("20030322173103", Some(1_048_354_263)),
            ("20380119031408", Some(2_147_483_648)),
            ("1048354263", Some(1_048_354_263)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("20010229000000", None),
            ("20031322173103", None),
            ("20030322243103", None),
            ("2003032217310x", None),
            ("", None),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }
}
