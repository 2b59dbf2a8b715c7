//! From counters that only grow to rates a second.

use std::time::Duration;

use crate::clock::Tick;

/// Time after which a change of the rate shows to two thirds: long enough that one burst moves no
/// clients, short enough to be done before answers expire.
const MEMORY: Duration = Duration::from_secs(5);

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Time to the heads of all replies together, in microseconds.
    pub took_us: u64,
}

/// Rates of one pool's requests, decayed; exact over gaps of any length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    /// The last reading; `None`: there was none.
    last: Option<(Totals, Tick)>,
    /// Requests and errors a second; `None` before the second reading.
    rates: Option<(f64, f64)>,
}

impl Meter {
    /// Takes in a reading, and gives requests and errors a second.
    pub fn read(&mut self, totals: Totals, now: Tick) -> (f64, f64) {
        let Some((before, at)) = self.last else {
            self.last = Some((totals, now));
            return (0.0, 0.0);
        };
        let seconds = now.since(at).as_secs_f64();
        if seconds <= 0.0 {
            return self.rates.unwrap_or_default();
        }
        // What was counted falls when an endpoint goes; that is no request.
        let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 / seconds;
        let requests = rate(totals.requests, before.requests);
        let errors = rate(totals.errors, before.errors);
        let kept = (-seconds / MEMORY.as_secs_f64()).exp();
        let rates = match self.rates {
            Some((r, e)) => (requests + (r - requests) * kept, errors + (e - errors) * kept),
            None => (requests, errors),
        };
        (self.last, self.rates) = (Some((totals, now)), Some(rates));
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_the_counters_and_forget() {
        let mut meter = Meter::default();
        let mut read = |second: u64, requests, errors| {
            let totals = Totals { requests, errors, ..Totals::default() };
            meter.read(totals, Tick(second * 1_000))
        };
        assert_eq!(read(0, 500, 7), (0.0, 0.0), "what was before the first reading is unknown");
        assert_eq!(read(1, 600, 8), (100.0, 1.0));
        assert_eq!(read(1, 600, 8), (100.0, 1.0), "no time has passed");
        assert_eq!(read(2, 700, 9), (100.0, 1.0));
        let (falling, _) = read(7, 700, 9);
        assert!((falling - 100.0 / std::f64::consts::E).abs() < 0.01, "{falling}");
        let (long, _) = read(607, 700, 9);
        assert!(long < 0.01, "{long}");
        let (fewer, _) = read(608, 10, 0);
        assert!(fewer < 0.01, "an endpoint that goes takes its counts along: {fewer}");
    }
}
