//! Slow start: an endpoint that came up gets its weight little by little.

use std::time::Duration;

use crate::clock::Tick;

/// The share that an endpoint begins with: enough to warm it up, too little to hurt.
const FIRST: f64 = 0.05;

/// The factor of an endpoint's weight at `now`, when it came up at `up` and starts slowly over
/// `slow_start`: from 0.05, straight to 1. 1 where `slow_start` is zero.
pub fn ramp(up: Tick, slow_start: Duration, now: Tick) -> f64 {
    if slow_start.is_zero() {
        return 1.0;
    }
    (now.since(up).as_secs_f64() / slow_start.as_secs_f64()).clamp(FIRST, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_grows_with_the_time_since_it_came_up() {
        let start = Duration::from_secs(30);
        for (case, now, expected) in [
            ("at once", 1_000, 0.05),
            ("a clock that stands back", 0, 0.05),
            ("a moment later", 2_000, 0.05),
            ("half way", 16_000, 0.5),
            ("at the end", 31_000, 1.0),
            ("long after", 9_000_000, 1.0),
        ] {
            let factor = ramp(Tick(1_000), start, Tick(now));
            assert!((factor - expected).abs() < 1e-9, "{case}: {factor}");
        }
        assert!((ramp(Tick(5), Duration::ZERO, Tick(5)) - 1.0).abs() < 1e-9, "without slow start");
    }
}
