//! When a zone's primary is asked, and when the zone expires (RFC 1034 section 4.3.5).

use std::time::Duration;

use super::{Records, rtype};
use crate::clock;

/// Bounds of refresh and retry, in seconds: neither a flood nor a zone forgotten for months.
const ASK_SECONDS: std::ops::RangeInclusive<u32> = 1..=2_419_200;
/// Least expire time, in seconds: shorter ones would make every restart of a primary an outage.
const EXPIRE_LEAST: u32 = 60;
/// Wait between visits while there is no copy: doubled from the first to the last.
const FIRST_WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// The times of one zone, as its SOA has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    refresh: Duration,
    retry: Duration,
    expire: Duration,
}

impl Schedule {
    /// The times in the SOA at the apex, with its serial; `None`: there is no sound SOA.
    pub fn of(records: &Records, apex: &[u8]) -> Option<(u32, Self)> {
        let soa = records.at_owner(apex).find(|record| record.rtype == rtype::SOA)?;
        let numbers = soa.rdata.last_chunk::<20>()?;
        let number = |at: usize| {
            let octets = numbers.get(at * 4..).and_then(|rest| rest.first_chunk());
            octets.map_or(0, |octets| u32::from_be_bytes(*octets))
        };
        let bounded = |seconds: u32| {
            let seconds = seconds.clamp(*ASK_SECONDS.start(), *ASK_SECONDS.end());
            Duration::from_secs(u64::from(seconds))
        };
        let expire = Duration::from_secs(u64::from(number(3).max(EXPIRE_LEAST)));
        Some((number(0), Self { refresh: bounded(number(1)), retry: bounded(number(2)), expire }))
    }

    /// Time from a success to the next visit; `chance` from 0 to 1 spreads the visits of many
    /// zones over a tenth of it.
    pub fn after_success(&self, chance: f64) -> Duration {
        self.refresh.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 10.0)
    }

    /// Time from a failure to the next visit.
    pub fn after_failure(&self, chance: f64) -> Duration {
        self.retry.min(self.refresh).mul_f64(1.0 - chance.clamp(0.0, 1.0) / 10.0)
    }

    /// Time left until the zone expires, when its primary was last heard of this long ago; `None`:
    /// it has expired.
    pub fn left(&self, silence: Duration) -> Option<Duration> {
        self.expire.checked_sub(silence).filter(|left| !left.is_zero())
    }
}

/// Time from the failure of this number in a row, from 1, to the next visit, while there is no copy
/// to serve.
pub fn without_copy(failures: u32) -> Duration {
    let [first, last] = FIRST_WAITS;
    clock::doubled(first, failures.saturating_sub(1), last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::Record;

    fn schedule(numbers: [u32; 5]) -> Option<(u32, Schedule)> {
        let mut records = Records::default();
        let rdata = [&[0, 0], numbers.map(u32::to_be_bytes).as_flattened()].concat();
        let owner = b"\x01a\x00";
        assert!(records.push(Record { owner, rtype: 6, ttl: 1, rdata: &rdata, file: 0, line: 0 }));
        Schedule::of(&records, owner)
    }

    #[test]
    fn the_soa_sets_the_times() {
        let seconds = Duration::from_secs;
        let (serial, usual) = schedule([7, 3600, 600, 86_400, 60]).unwrap();
        assert_eq!(serial, 7);
        assert_eq!(usual.after_success(0.0), seconds(3600));
        assert_eq!(usual.after_success(1.0), seconds(3240));
        assert_eq!(usual.after_failure(0.0), seconds(600));
        assert_eq!(usual.left(seconds(86_399)), Some(seconds(1)));
        assert_eq!(usual.left(seconds(86_400)), None);
        let (_, hasty) = schedule([7, 0, 9, 0, 0]).unwrap();
        assert_eq!(hasty.after_success(0.0), seconds(1));
        assert_eq!(hasty.after_failure(0.0), seconds(1));
        assert_eq!(hasty.left(seconds(59)), Some(seconds(1)));
        assert_eq!(Schedule::of(&Records::default(), b"\x00"), None);
    }

    #[test]
    fn without_a_copy_it_is_asked_ever_less_often() {
        let waits = [1, 2, 3, 7, 40].map(|failures| without_copy(failures).as_secs());
        assert_eq!(waits, [1, 2, 4, 60, 60]);
    }
}
