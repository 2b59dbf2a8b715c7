//! How a region that was gone for a service comes back into its answers.

use super::{Candidate, Local};
use crate::clock::Tick;
use crate::model::Failback;

/// A region's part in the answers is counted in so many steps.
pub const FULL: u8 = 10;

/// Sum of the weights while shares are mixed.
const PRECISION: u128 = 1 << 40;

/// How much of a region is there for a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// An operator has forced something of it up.
    Forced,
    /// Enough of it is up.
    Here,
    /// Enough of it is up or not known to be down: no reason to think it gone, nor it back.
    Doubtful,
    /// Less than `min_up` is left.
    Gone,
}

/// Where a region is on its way back.
///
/// ```text
///            gone                    here
///   present ──────▶ away ───────────────────────▶ returning
///      ▲             ▲                gone            │
///      │             └────────────────────────────────┤
///      └──────────── time is over, or forced ─────────┘
/// ```
///
/// A region is present when the process starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comeback {
    /// It plays its full part.
    #[default]
    Present,
    /// It was lost.
    Away,
    /// It is up again since then.
    Returning(Tick),
}

impl Comeback {
    /// Takes note of what is there at `now`.
    #[must_use]
    pub fn step(self, rule: Failback, presence: Presence, now: Tick) -> Self {
        match (self, presence) {
            (_, Presence::Forced) => Self::Present,
            (_, Presence::Gone) => Self::Away,
            (Self::Away, Presence::Here) if rule == Failback::Auto => Self::Present,
            (Self::Away, Presence::Here) => Self::Returning(now),
            (Self::Returning(since), _) if over(rule, since).is_some_and(|end| end <= now) => {
                Self::Present
            }
            (other, _) => other,
        }
    }

    /// Its part in the answers, of [`FULL`].
    pub fn share(self, rule: Failback, now: Tick) -> u8 {
        match (self, rule) {
            (Self::Returning(since), Failback::Ramp(ramp)) => {
                let steps = now.since(since).as_millis() * u128::from(FULL);
                let step = steps / ramp.as_millis().max(1);
                // It begins with one step: with none nothing would ever show that it serves.
                u8::try_from(step).unwrap_or(FULL).clamp(1, FULL)
            }
            (Self::Returning(_), Failback::Delay(_) | Failback::Manual) => 0,
            // What is away and answered all the same is what is left.
            _ => FULL,
        }
    }

    /// When its share changes next; `None`: not by time.
    pub fn due(self, rule: Failback, now: Tick) -> Option<Tick> {
        let Self::Returning(since) = self else { return None };
        match rule {
            Failback::Ramp(ramp) => {
                let mut ends = (2..=u32::from(FULL)).map(|step| {
                    // Rounded up, or the step would not be over yet.
                    let end = (ramp * step).as_millis().div_ceil(u128::from(FULL));
                    Tick(since.0.saturating_add(u64::try_from(end).unwrap_or(u64::MAX)))
                });
                ends.find(|end| *end > now)
            }
            _ => over(rule, since).filter(|end| *end > now),
        }
    }
}

/// When a region that returned at `since` is present; `None`: not by time.
fn over(rule: Failback, since: Tick) -> Option<Tick> {
    match rule {
        Failback::Auto => Some(since),
        Failback::Delay(time) | Failback::Ramp(time) => Some(since + time),
        Failback::Manual => None,
    }
}

/// The candidates while regions among those of `tied` come back: each has the part of its region,
/// and what is missing goes to `rest`.
pub(super) fn mixed(
    tied: Vec<Candidate>,
    rest: &[Candidate],
    share: impl Fn(Local) -> u8,
) -> Vec<Candidate> {
    let sum = |of: &[Candidate]| of.iter().map(|c| u128::from(c.weight)).sum::<u128>();
    let (whole, whole_rest) = (sum(&tied), sum(rest));
    if whole == 0 || whole_rest == 0 {
        return tied;
    }
    let full = u128::from(FULL);
    let part = |c: &Candidate| {
        u128::from(c.weight) * PRECISION / whole * u128::from(share(c.region)) / full
    };
    let missing = PRECISION - tied.iter().map(part).sum::<u128>().min(PRECISION);
    let mut mixed: Vec<Candidate> = Vec::new();
    for (candidate, weight) in tied
        .iter()
        .map(|c| (c, part(c)))
        .chain(rest.iter().map(|c| (c, u128::from(c.weight) * missing / whole_rest)))
    {
        let weight = u64::try_from(weight).unwrap_or(u64::MAX);
        let same = |other: &&mut Candidate| {
            (other.endpoint, &other.target) == (candidate.endpoint, &candidate.target)
        };
        match mixed.iter_mut().find(same) {
            Some(known) => known.weight += weight,
            None => mixed.push(Candidate { weight, ..candidate.clone() }),
        }
    }
    mixed
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use Presence::{Doubtful, Forced, Gone, Here};

    const MINUTE: Duration = Duration::from_secs(60);

    /// The shares a region has while these are seen of it, one a second.
    fn shares(rule: Failback, seen: &[(Presence, u64)]) -> Vec<u8> {
        let mut comeback = Comeback::default();
        let mut shares = Vec::new();
        let mut now = Tick(0);
        for (presence, seconds) in seen {
            for _ in 0..*seconds {
                comeback = comeback.step(rule, *presence, now);
                shares.push(comeback.share(rule, now));
                now = now + Duration::from_secs(1);
            }
        }
        shares.dedup();
        shares
    }

    /// A name, the rule, what is seen for how many seconds, and the shares that follow.
    type Case<'a> = (&'a str, Failback, &'a [(Presence, u64)], &'a [u8]);

    #[test]
    fn a_region_that_was_gone_comes_back_by_the_rule() {
        let delay = Failback::Delay(MINUTE);
        let ramp = Failback::Ramp(MINUTE);
        let manual = Failback::Manual;
        let cases: [Case<'_>; 11] = [
            ("never gone", delay, &[(Here, 100)], &[10]),
            ("in doubt, not gone", delay, &[(Doubtful, 9), (Here, 9)], &[10]),
            ("auto: at once", Failback::Auto, &[(Here, 1), (Gone, 5), (Here, 1)], &[10]),
            ("delay: after it", delay, &[(Gone, 5), (Here, 61)], &[10, 0, 10]),
            ("delay: not before", delay, &[(Gone, 5), (Here, 60)], &[10, 0]),
            (
                "delay: a new loss begins it anew",
                delay,
                &[(Gone, 1), (Here, 59), (Gone, 1), (Here, 60)],
                &[10, 0, 10, 0],
            ),
            (
                "delay: doubt is no loss",
                delay,
                &[(Gone, 1), (Here, 30), (Doubtful, 31)],
                &[10, 0, 10],
            ),
            (
                "ramp: in steps",
                ramp,
                &[(Gone, 1), (Here, 61)],
                &[10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
            ),
            ("manual: never", manual, &[(Gone, 1), (Here, 9999)], &[10, 0]),
            (
                "manual: until forced",
                manual,
                &[(Gone, 1), (Here, 9), (Forced, 1), (Here, 9)],
                &[10, 0, 10],
            ),
            ("doubt brings nothing back", delay, &[(Gone, 1), (Doubtful, 99), (Here, 1)], &[10, 0]),
        ];
        for (case, rule, seen, expected) in cases {
            assert_eq!(shares(rule, seen), expected, "{case}");
        }
    }

    #[test]
    fn it_says_when_it_will_change() {
        for rule in [Failback::Delay(MINUTE), Failback::Ramp(Duration::from_millis(99_999))] {
            let mut comeback = Comeback::Returning(Tick(7));
            let (mut now, mut steps) = (Tick(7), 0);
            while let Some(due) = comeback.due(rule, now) {
                let before = comeback.share(rule, now);
                assert_eq!(comeback.share(rule, Tick(due.0 - 1)), before, "not sooner");
                now = due;
                comeback = comeback.step(rule, Here, now);
                assert_ne!(comeback.share(rule, now), before, "and not later");
                steps += 1;
            }
            assert_eq!(comeback, Comeback::Present, "after {steps} steps");
        }
        assert_eq!(Comeback::Returning(Tick(7)).due(Failback::Manual, Tick(8)), None);
        assert_eq!(Comeback::Away.due(Failback::Delay(MINUTE), Tick(8)), None);
    }
}
