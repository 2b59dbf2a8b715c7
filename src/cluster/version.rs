//! Which versions of the NATS server will do.

/// First version that will do of each line that has one: older ones have open vulnerabilities and
/// pass over what they do not know without a word.
const FLOORS: [(u64, u64, u64); 3] = [(2, 11, 16), (2, 12, 7), (2, 14, 0)];

/// Whether this version will do; the error says what to do else.
pub(super) fn check(version: &str) -> Result<(), String> {
    let refusal = || {
        format!(
            "nats-server `{version}` is not supported, expected 2.11.16, 2.12.7, 2.14.0 or later"
        )
    };
    let (numbers, suffix) = version.split_once('-').unwrap_or((version, ""));
    let parts: Vec<u64> = numbers.split('.').map_while(|part| part.parse().ok()).collect();
    let [major, minor, patch] = *parts.as_slice() else { return Err(refusal()) };
    let found = (major, minor, patch);
    let of_its_line = FLOORS.into_iter().find(|floor| (floor.0, floor.1) == (major, minor));
    let last = FLOORS.into_iter().max().unwrap_or_default();
    let floor = of_its_line.unwrap_or(last);
    // A candidate comes before the version that it is named after.
    let early = !suffix.is_empty() && found == floor;
    if found >= floor && !early { Ok(()) } else { Err(refusal()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_with_open_vulnerabilities_are_refused() {
        for version in
            ["2.11.16", "2.11.17", "2.11.17-RC.1", "2.12.7", "2.14.0", "2.15.1", "2.20.0", "3.0.0"]
        {
            assert_eq!(check(version), Ok(()), "{version}");
        }
        for version in [
            "",
            "2",
            "2.14",
            "x",
            "2.9.10",
            "2.10.27",
            "2.11.15",
            "2.11.16-RC.2",
            "2.12.6",
            "2.13.9",
            "2.14.0-preview.1",
            "1.99.99",
        ] {
            assert!(check(version).is_err(), "{version}");
        }
    }
}
