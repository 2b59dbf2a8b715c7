//! The clocks: the only file that reads the system's time.

use std::ops::{Add, Sub};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point on the monotonic clock, in milliseconds. The process first asked for the time at
/// [`Tick::START`], so that what began before the process has a time too.
///
/// Health, TTLs and every other decision use this clock alone, so that a stepped wall clock
/// changes no answer. Ticks of two processes cannot be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

/// Ticks before the process: a year, which is longer than any state that survives a restart.
const BEFORE_START_MS: u64 = 365 * 86_400 * 1000;

impl Tick {
    /// When this process first asked for the time.
    pub const START: Tick = Tick(BEFORE_START_MS);

    /// Time passed since `earlier`; zero when `earlier` lies in the future.
    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Tick {
    type Output = Tick;

    fn add(self, later: Duration) -> Tick {
        Tick(self.0.saturating_add(u64::try_from(later.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Tick {
    type Output = Duration;

    fn sub(self, earlier: Tick) -> Duration {
        self.since(earlier)
    }
}

/// The monotonic time now.
#[allow(clippy::disallowed_methods)] // This is the clock.
pub fn now() -> Tick {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let origin = *ORIGIN.get_or_init(Instant::now);
    Tick(BEFORE_START_MS + origin.elapsed().as_millis() as u64)
}

/// Sleeps for this time; `None`: for ever.
pub async fn rest(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// A precise monotonic reading, for durations that are measured and only reported.
#[allow(clippy::disallowed_methods)] // This is the clock.
pub fn stopwatch() -> Instant {
    Instant::now()
}

/// Wall-clock time since 1970-01-01 UTC, for entries of logs.
#[allow(clippy::disallowed_methods)] // This is the clock.
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Wall-clock time in seconds since 1970-01-01 UTC; only certificates, file ages, logs, and random
/// numbers that the nodes of a fleet draw alike use it.
#[allow(clippy::disallowed_methods)] // This is the clock.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A time in seconds since 1970-01-01 UTC as people write it: `2026-11-21 23:10:00 UTC`.
pub fn utc(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    // Years are counted from March, so that a leap day is the last of its year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_by_the_calendar() {
        for (unix, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(unix), text);
        }
    }
}
