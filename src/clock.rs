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
    at(Instant::now())
}

/// The tick of a precise reading.
#[allow(clippy::disallowed_methods)] // This is the clock.
pub fn at(reading: Instant) -> Tick {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let origin = *ORIGIN.get_or_init(Instant::now);
    Tick(BEFORE_START_MS + reading.saturating_duration_since(origin).as_millis() as u64)
}

/// Sleeps for this time; `None`: for ever.
pub async fn rest(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// `time` doubled so often, up to `most`: of what grows with each failure in a row.
pub fn doubled(time: Duration, times: u32, most: Duration) -> Duration {
    time.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)).min(most)
}

/// From half of a pause to all of it, by `random` from 0 to 1: those who lost the same peer do not
/// all come back at once.
pub fn spread(pause: Duration, random: f64) -> Duration {
    pause.mul_f64(0.5 + random / 2.0)
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

/// Wall-clock time in milliseconds since 1970-01-01 UTC, for entries of logs and epochs.
pub fn unix_ms() -> u64 {
    unix_time().as_millis() as u64
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

/// Seconds since 1970-01-01 UTC of a time as [`utc`] writes it, or without the seconds.
pub fn from_utc(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix(" UTC")?.split_once(' ')?;
    let numbers = |text: &str, mark: char| -> Option<Vec<u64>> {
        let digits = |part: &str| part.bytes().all(|c| c.is_ascii_digit());
        text.split(mark).map(|part| part.parse().ok().filter(|_| digits(part))).collect()
    };
    let [year, month, day] = numbers(date, '-')?[..] else { return None };
    let (hour, minute, second) = match numbers(time, ':')?[..] {
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // As in `utc`, years begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let unix = (days - 719_468) * 86_400 + hour * 3_600 + minute * 60 + second;
    // What names no day or time, such as February 30, is another one when it is written back.
    let whole = if time.matches(':').count() == 1 {
        format!("{date} {time}:00")
    } else {
        format!("{date} {time}")
    };
    (utc(unix) == format!("{whole} UTC")).then_some(unix)
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
            assert_eq!(from_utc(text), Some(unix));
        }
        assert_eq!(from_utc("2000-02-29 00:01 UTC"), Some(951_782_460));
        for wrong in [
            "",
            "2000-02-29",
            "2000-02-29 00:00",
            "2001-02-29 00:00 UTC",
            "2000-13-01 00:00 UTC",
            "2000-01-01 24:00 UTC",
            "2000-01-01 0:00 UTC",
            "1969-12-31 23:59 UTC",
            "2000-01-01 00:00:00:00 UTC",
            "2000-01-01 00:+1 UTC",
        ] {
            assert_eq!(from_utc(wrong), None, "{wrong}");
        }
    }
}
