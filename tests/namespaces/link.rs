//! One direction of a link: which packets are lost, and when the others arrive. Pure and seeded.

use std::time::{Duration, Instant};

/// Packets that may be under way in one direction; more are lost, as in a router.
const QUEUE_MAX: usize = 4_096;

/// What a direction does to packets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Profile {
    /// Each packet takes at least this long.
    pub(crate) delay: Duration,
    /// And up to this much longer.
    pub(crate) jitter: Duration,
    /// Share of the packets that are lost.
    pub(crate) loss: f64,
    /// Share of the packets that overtake all others: they take `delay` / 2.
    pub(crate) reorder: f64,
    /// Nothing passes.
    pub(crate) cut: bool,
}

/// What became of the packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) lost: u64,
    pub(crate) cut: u64,
    pub(crate) full: u64,
}

/// One direction of a link.
pub(crate) struct Link {
    pub(crate) profile: Profile,
    pub(crate) counts: Counts,
    rng: fastrand::Rng,
    queued: usize,
    /// When the last packet in order arrives.
    last: Option<Instant>,
}

impl Link {
    pub(crate) fn new(profile: Profile, seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self { profile, counts: Counts::default(), rng, queued: 0, last: None }
    }

    /// When a packet that is sent at `now` arrives; `None`: it does not.
    pub(crate) fn send(&mut self, now: Instant) -> Option<Instant> {
        let Profile { delay, jitter, loss, reorder, cut } = self.profile;
        // Drawn for every packet, so that a cut does not move what is drawn for later ones.
        let [lost, overtakes, late] = [(); 3].map(|()| self.rng.f64());
        let count = match () {
            () if cut => &mut self.counts.cut,
            () if lost < loss => &mut self.counts.lost,
            () if self.queued >= QUEUE_MAX => &mut self.counts.full,
            () => &mut self.counts.passed,
        };
        *count += 1;
        if cut || lost < loss || self.queued >= QUEUE_MAX {
            return None;
        }
        self.queued += 1;
        if overtakes < reorder {
            return Some(now + delay / 2);
        }
        let arrives = now + delay + jitter.mul_f64(late);
        let arrives = self.last.map_or(arrives, |last| last.max(arrives));
        self.last = Some(arrives);
        Some(arrives)
    }

    /// Takes note that a packet has arrived, or would have: `false` where the link was cut while it
    /// was under way.
    pub(crate) fn arrive(&mut self) -> bool {
        self.queued -= 1;
        !self.profile.cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn packets_take_their_time_in_order_unless_they_overtake() {
        let start = Instant::now();
        let profile = Profile { delay: 50 * MS, jitter: 20 * MS, ..Profile::default() };
        let mut link = Link::new(profile, 1);
        let mut last = start;
        for n in 0..1_000 {
            let sent = start + n * MS;
            let arrives = link.send(sent).unwrap();
            assert!(arrives >= last && arrives >= sent + 50 * MS && arrives <= sent + 70 * MS);
            last = arrives;
        }
        link.profile.reorder = 0.1;
        let sent = start + 1_000 * MS;
        let early = (0..1_000).filter(|_| link.send(sent) == Some(sent + 25 * MS)).count();
        assert!((50..150).contains(&early), "{early}");
    }

    #[test]
    fn the_share_that_is_lost_is_that_of_the_profile_and_repeats_with_the_seed() {
        let now = Instant::now();
        let lost = |seed| {
            let mut link = Link::new(Profile { loss: 0.02, ..Profile::default() }, seed);
            (0..10_000)
                .filter(|_| match link.send(now) {
                    Some(_) => !link.arrive(),
                    None => true,
                })
                .collect::<Vec<_>>()
        };
        assert!((150..250).contains(&lost(1).len()), "{}", lost(1).len());
        assert_eq!(lost(1), lost(1));
        assert_ne!(lost(1), lost(2));
    }

    #[test]
    fn a_cut_stops_what_is_sent_and_what_is_under_way_and_a_queue_ends() {
        let now = Instant::now();
        let mut link = Link::new(Profile { delay: MS, ..Profile::default() }, 1);
        assert!(link.send(now).is_some());
        link.profile.cut = true;
        assert!(!link.arrive());
        assert_eq!(link.send(now), None);
        link.profile.cut = false;
        let taken = (0..10_000).filter(|_| link.send(now).is_some()).count();
        assert_eq!(taken, QUEUE_MAX);
        let Counts { passed, lost, cut, full } = link.counts;
        assert_eq!((passed, lost, cut, full), (QUEUE_MAX as u64 + 1, 0, 1, 10_000 - 4_096));
    }
}
