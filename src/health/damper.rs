//! What keeps a flapper down: repeated flips are held.

use std::time::Duration;

use crate::clock::{self, Tick};

/// A down that follows a comeback within this time is a repeated flip, and is held at least this
/// long, so that an endpoint never comes up twice in a minute however it flaps.
const FLAP_WINDOW: Duration = Duration::from_secs(60);

/// `hold_down` doubles with each repeated flip up to here (or stays as configured, when that is
/// longer): a repaired endpoint must not wait for hours.
const HOLD_MAX: Duration = Duration::from_secs(300);

/// The memory of flips. The first comeback is never delayed: one short outage is no flapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Damper {
    came_up: Option<Tick>,
    repeats: u32,
}

impl Damper {
    /// It went down at `now`.
    pub(super) fn fell(&mut self, now: Tick) {
        let is_repeat = self.came_up.is_some_and(|up| now.since(up) < FLAP_WINDOW);
        self.repeats = if is_repeat { self.repeats.saturating_add(1) } else { 0 };
    }

    /// It went down with what it needs, and comes back with it: that flaps, or does not, by itself.
    pub(super) fn fell_along(&mut self) {
        self.repeats = 0;
    }

    /// It came up again at `now`.
    pub(super) fn rose(&mut self, now: Tick) {
        self.came_up = Some(now);
    }

    /// How long it stays down after it fell; `None`: it is not held.
    pub(super) fn hold(&self, hold_down: Duration) -> Option<Duration> {
        if self.repeats == 0 || hold_down.is_zero() {
            return None;
        }
        let doubled = clock::doubled(hold_down, self.repeats - 1, HOLD_MAX);
        Some(doubled.max(hold_down).max(FLAP_WINDOW))
    }
}
