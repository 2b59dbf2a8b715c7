//! The epoch of a start: later than that of every start before, whatever the clock says.

use std::path::Path;

use tracing::warn;

use crate::durable;

/// Longest file that is ours.
const LENGTH_MAX: u64 = 64;

/// The epoch of this start, which is put down in the state folder before it is used: the time, or
/// one more than the last where the clock was set back. `unix_ms`: milliseconds since 1970.
pub fn next_epoch(state: &Path, unix_ms: u64) -> u64 {
    let path = state.join("epoch");
    let last: u64 = match durable::read(&path, LENGTH_MAX) {
        Ok(None) => 0,
        Ok(Some(text)) => {
            let number = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
            number.unwrap_or_else(|| {
                warn!(file = %path.display(), "the epoch of the last start is damaged");
                0
            })
        }
        Err(error) => {
            warn!(file = %path.display(), %error, "the epoch of the last start is not known");
            0
        }
    };
    let epoch = unix_ms.max(last.saturating_add(1));
    if let Err(error) = durable::replace(&path, format!("{epoch}\n").as_bytes()) {
        // The time alone will do, unless the clock is set back before the next start.
        warn!(file = %path.display(), %error, "cannot save the epoch of this start");
    }
    epoch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_grow_whatever_the_clock_says() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        assert_eq!(next_epoch(&state, 1_000), 1_000);
        assert_eq!(next_epoch(&state, 1_000), 1_001, "twice in a millisecond");
        assert_eq!(next_epoch(&state, 10), 1_002, "the clock was set back");
        assert_eq!(next_epoch(&state, 5_000), 5_000);
        std::fs::write(state.join("epoch"), "x").unwrap();
        assert_eq!(next_epoch(&state, 6_000), 6_000, "a damaged file");
    }
}
