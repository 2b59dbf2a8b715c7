//! Times in a master file: seconds, or numbers with the units `w`, `d`, `h`, `m`, `s`.

/// Longest TTL, in seconds (RFC 2181 section 8).
pub(super) const TTL_MAX: u32 = (1 << 31) - 1;

/// Why a word is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeError {
    /// Something else than numbers and units.
    Form,
    /// More than 2^31 - 1 seconds.
    Range,
}

impl TimeError {
    /// The mistake as text, after the word.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Form => "expected seconds, or numbers with units as in `1h30m` (w, d, h, m, s)",
            Self::Range => "at most 2147483647 seconds",
        }
    }
}

/// Reads a time in seconds.
pub(super) fn parse(text: &[u8]) -> Result<u32, TimeError> {
    let mut total: u64 = 0;
    let mut number: Option<u64> = None;
    let mut units = false;
    for byte in text {
        if byte.is_ascii_digit() {
            let digit = u64::from(byte - b'0');
            number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(digit));
            continue;
        }
        let seconds = match byte.to_ascii_lowercase() {
            b'w' => 604_800,
            b'd' => 86_400,
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return Err(TimeError::Form),
        };
        let count = number.take().ok_or(TimeError::Form)?;
        total = total.saturating_add(count.saturating_mul(seconds));
        units = true;
    }
    match (number, units) {
        (Some(seconds), false) => total = seconds,
        (None, true) => {}
        _ => return Err(TimeError::Form),
    }
    u32::try_from(total).ok().filter(|total| *total <= TTL_MAX).ok_or(TimeError::Range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_seconds_and_units() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("300", Ok(300)),
            ("1h30m", Ok(5400)),
            ("1W", Ok(604_800)),
            ("2d4H5s", Ok(187_205)),
            ("2147483647", Ok(TTL_MAX)),
            ("2147483648", Err(TimeError::Range)),
            ("9999999999999999999999", Err(TimeError::Range)),
            ("99999999999999999999w", Err(TimeError::Range)),
            ("", Err(TimeError::Form)),
            ("h", Err(TimeError::Form)),
            ("1h30", Err(TimeError::Form)),
            ("1y", Err(TimeError::Form)),
            ("-1", Err(TimeError::Form)),
            ("1.5", Err(TimeError::Form)),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }
}
