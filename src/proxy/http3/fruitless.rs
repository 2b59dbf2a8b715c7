//! Requests that brought nothing: taken back before their reply, broken off, or none at all.

use std::time::Duration;

use crate::clock::Tick;

/// They are counted over this time.
const WINDOW: Duration = Duration::from_secs(10);
/// How many there may be in it: as many as over HTTP/2.
const MOST: u32 = 500;

/// Those of one connection.
#[derive(Debug, Default)]
pub(super) struct Fruitless {
    since: Tick,
    count: u32,
}

impl Fruitless {
    /// Counts one; `false`: it is one too many.
    pub(super) fn count(&mut self, now: Tick) -> bool {
        if now.since(self.since) >= WINDOW {
            *self = Self { since: now, count: 0 };
        }
        self.count += 1;
        self.count <= MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_from_a_client_who_leaves_now_and_then() {
        let mut fruitless = Fruitless::default();
        assert!((0..500).all(|at| fruitless.count(Tick(50_000 + at))));
        assert!(!fruitless.count(Tick(59_999)));
        assert!((0..500).all(|at| fruitless.count(Tick(60_000 + at))), "a new window");
        assert!(!fruitless.count(Tick(61_000)));
        let mut slow = Fruitless::default();
        assert!((0..10_000).all(|at| slow.count(Tick(90_000 + at * 21))));
    }
}
