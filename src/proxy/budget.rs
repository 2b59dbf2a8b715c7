//! The retry budget: how many retries a number of requests pays for.
//!
//! When an upstream fails as a whole, retries multiply the load that it fails under. So they may be
//! a share of the requests of the last seconds, and a few more where requests are rare.

use std::time::Duration;

use crate::clock::Tick;

/// Parts of the window. It slides by one of them at a time.
const SLOTS: usize = 10;
/// Length of a part.
const SLOT: Duration = Duration::from_secs(1);

/// Requests and retries of one part of the window.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    requests: u32,
    retries: u32,
}

/// The requests and retries of the last ten seconds.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    share: f64,
    minimum: u32,
    slots: [Slot; SLOTS],
    /// The number of the last of them, the newest, counted from the clock's zero.
    newest: u64,
}

impl RetryBudget {
    /// A budget of this share of the requests in the window, and of `minimum` retries in the
    /// window whatever the requests.
    pub fn new(share: f64, minimum: u32) -> Self {
        Self { share, minimum, slots: [Slot::default(); SLOTS], newest: 0 }
    }

    /// What was counted so far, under another share.
    #[must_use]
    pub fn under(&self, share: f64) -> Self {
        Self { share, ..self.clone() }
    }

    /// Counts a request; its retries are none.
    pub fn request(&mut self, now: Tick) {
        let slot = self.slot(now);
        slot.requests = slot.requests.saturating_add(1);
    }

    /// Counts a retry if there is budget for one.
    pub fn retry(&mut self, now: Tick) -> bool {
        self.slot(now);
        let sum = |part: fn(&Slot) -> u32| {
            self.slots.iter().map(|slot| u64::from(part(slot))).sum::<u64>() as f64
        };
        let paid = self.share * sum(|slot| slot.requests) + f64::from(self.minimum);
        // Shares like 0.2 are not exact: a hair of a retry is granted.
        if sum(|slot| slot.retries) + 1.0 > paid + 1e-6 {
            return false;
        }
        let slot = self.slot(now);
        slot.retries = slot.retries.saturating_add(1);
        true
    }

    /// The newest part, after the window has slid up to `now`.
    fn slot(&mut self, now: Tick) -> &mut Slot {
        let number = now.0 / SLOT.as_millis() as u64;
        let passed = number.saturating_sub(self.newest).min(SLOTS as u64) as usize;
        self.newest = self.newest.max(number);
        self.slots.rotate_left(passed % SLOTS);
        self.slots.iter_mut().rev().take(passed).for_each(|slot| *slot = Slot::default());
        let [.., newest] = &mut self.slots;
        newest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many of `tries` retries are granted.
    fn granted(budget: &mut RetryBudget, tries: u32, now: Tick) -> u32 {
        (0..tries).map(|_| u32::from(budget.retry(now))).sum()
    }

    #[test]
    fn retries_are_a_share_of_the_requests_and_a_few_more() {
        let mut budget = RetryBudget::new(0.2, 3);
        assert_eq!(granted(&mut budget, 10, Tick(5000)), 3, "without any request");
        for _ in 0..100 {
            budget.request(Tick(5500));
        }
        assert_eq!(granted(&mut budget, 100, Tick(5900)), 20);
        assert_eq!(granted(&mut budget, 10, Tick(14_999)), 0, "the window still holds them");
        assert_eq!(granted(&mut budget, 10, Tick(15_000)), 3, "it has slid past them");
        let mut none = RetryBudget::new(0.0, 0);
        none.request(Tick(0));
        assert!(!none.retry(Tick(0)), "no budget at all");
        let mut whole = RetryBudget::new(1.0, 0);
        for _ in 0..7 {
            whole.request(Tick(0));
        }
        assert_eq!(granted(&mut whole, 10, Tick(0)), 7, "one for each request");
    }

    #[test]
    fn idle_times_leave_nothing_behind() {
        for idle in [10_000, 10_001, 11_000, 25_500, 100_000, 86_400_000] {
            let mut budget = RetryBudget::new(0.5, 0);
            for second in 0..10 {
                for _ in 0..10 {
                    budget.request(Tick(second * 1000));
                }
            }
            let after = Tick(9000 + idle);
            assert_eq!(granted(&mut budget, 100, after), 0, "after {idle} ms");
            budget.request(after);
            budget.request(after);
            assert_eq!(granted(&mut budget, 100, after), 1, "after {idle} ms");
        }
        let mut budget = RetryBudget::new(0.5, 0);
        for second in 0..10 {
            budget.request(Tick(second * 1000));
            budget.request(Tick(second * 1000));
        }
        // Half of the window is left after half of it has passed.
        assert_eq!(granted(&mut budget, 100, Tick(14_000)), 5);
    }

    proptest! {
        #[test]
        fn the_budget_is_that_of_the_requests_in_the_window(
            steps in prop::collection::vec((0_u64..4000, any::<bool>()), 1..200),
        ) {
            let mut budget = RetryBudget::new(0.3, 2);
            let (mut now, mut requests, mut retries) = (0, Vec::new(), Vec::new());
            for (later, is_request) in steps {
                now += later;
                if is_request {
                    budget.request(Tick(now));
                    requests.push(now / 1000);
                    continue;
                }
                let second = now / 1000;
                let within = |times: &[u64]| times.iter().filter(|at| **at + 10 > second).count();
                let paid = 0.3 * within(&requests) as f64 + 2.0;
                let expected = within(&retries) as f64 + 1.0 <= paid + 1e-6;
                prop_assert_eq!(budget.retry(Tick(now)), expected);
                if expected {
                    retries.push(now / 1000);
                }
            }
        }
    }
}
