//! The round trips of one connection, as whoever carries it has measured them.

use std::time::Duration;

use super::refusal::Refusal;
use super::rtt::Rtt;

/// Round trips of one connection.
///
/// The shortest is the way alone: queues on it, above all those that the client fills himself, and
/// lost packets only ever add. It is what tells regions apart, since the client's own queue is on
/// the way to all of them. The smoothed one says how much round trips scatter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    /// The shortest of its round trips.
    pub least: Duration,
    /// Their smoothed mean, not below the shortest.
    pub smoothed: Duration,
}

impl Trip {
    /// What was measured of a connection; a shortest one of zero or above the smoothed is none.
    pub fn new(smoothed: Duration, least: Duration) -> Self {
        let least = if least.is_zero() { smoothed } else { least.min(smoothed) };
        Self { least, smoothed }
    }

    /// Both on the scale of the map: the shortest, then the smoothed one.
    pub(super) fn read(self) -> Result<(Rtt, Rtt), Refusal> {
        let valid = |time: Duration| {
            let short = time < Duration::from_secs(1);
            Rtt::of(time).ok_or(if short { Refusal::Short } else { Refusal::Long })
        };
        Ok((valid(self.least)?, valid(self.smoothed)?))
    }
}

impl From<Duration> for Trip {
    /// A single round trip.
    fn from(time: Duration) -> Self {
        Self { least: time, smoothed: time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_is_never_above_the_mean() {
        for (smoothed, least, expected) in [(20, 12, 12), (20, 0, 20), (20, 4_294_967, 20)] {
            let [smoothed, least, expected] =
                [smoothed, least, expected].map(Duration::from_millis);
            assert_eq!(Trip::new(smoothed, least), Trip { least: expected, smoothed });
        }
        let ms = Duration::from_millis;
        assert!(Trip::new(ms(10), ms(5)).read().is_ok());
        assert_eq!(Trip::new(ms(10_001), ms(5)).read(), Err(Refusal::Long));
        assert_eq!(Trip::from(Duration::ZERO).read(), Err(Refusal::Short));
    }
}
