//! How fast a body comes, counting the time alone in which it was waited for.

use std::time::Duration;

use crate::clock::Tick;

/// A body may begin as slowly as it likes for this long.
const GRACE: Duration = Duration::from_secs(5);

/// A body that must come at some rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Octets a second.
    least: u64,
    octets: u64,
    /// How long it was waited for, up to `since`.
    waited: Duration,
    /// Since when it is waited for; `None`: it is not, as where the endpoint does not read.
    since: Option<Tick>,
}

impl Pace {
    /// A body that has not begun; `least` is in octets a second.
    pub(super) fn new(least: u64) -> Self {
        Self { least: least.max(1), octets: 0, waited: Duration::ZERO, since: None }
    }

    /// Nothing is there; what comes back is how long that may last.
    pub(super) fn waits(&mut self, now: Tick) -> Duration {
        let since = *self.since.get_or_insert(now);
        let paid = Duration::from_secs_f64(self.octets as f64 / self.least as f64);
        GRACE.saturating_add(paid).saturating_sub(self.waited + now.since(since))
    }

    /// So many octets came.
    pub(super) fn came(&mut self, octets: usize, now: Tick) {
        self.octets = self.octets.saturating_add(octets as u64);
        if let Some(since) = self.since.take() {
            self.waited += now.since(since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_time_in_which_it_was_waited_for_counts() {
        let mut pace = Pace::new(100);
        let seconds = Duration::from_secs;
        assert_eq!(pace.waits(Tick(1_000)), seconds(5));
        pace.came(200, Tick(4_000));
        assert_eq!(pace.waits(Tick(60_000)), seconds(4), "2 s are paid for, 3 s are used up");
        assert_eq!(pace.waits(Tick(62_000)), seconds(2), "it goes on to be waited for");
        pace.came(0, Tick(64_000));
        assert_eq!(pace.waits(Tick(64_000)), seconds(0));
    }
}
