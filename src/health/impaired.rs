//! Whether it is the prober that is ill, rather than all it looks at.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Tick;
use crate::model::RegionId;

/// So many regions, or targets outside the own region, may fail together by accident.
const ACCIDENTS_MAX: usize = 2;

/// One target as this prober sees it. Endpoints probed at the same address are one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    /// Where the target is.
    pub(super) region: RegionId,
    /// Since when its last probes have failed; `None`: the last one did not.
    pub(super) failing_since: Option<Tick>,
    /// The time in which a target that dies is found to be down.
    pub(super) fall_window: Duration,
}

/// Whether a prober in region `own` that sees this is to be suspected rather than its targets.
///
/// Targets of one region may fail together; those of different regions have nothing to do with
/// each other. It begins when more than half of the regions, by most of their targets, turn to
/// failure within one window, and these are three regions or three targets outside the own one. It
/// ends when no more than half of the regions fail, since whenever: of two regions one may be gone
/// for good, and the other needs a voice.
pub(super) fn is_suspect(
    before: bool,
    own: RegionId,
    sights: impl Iterator<Item = Sight>,
    now: Tick,
) -> bool {
    let mut regions: BTreeMap<RegionId, Tally> = BTreeMap::new();
    for sight in sights {
        let tally = regions.entry(sight.region).or_default();
        tally.targets += 1;
        if let Some(since) = sight.failing_since {
            tally.failing += 1;
            tally.turned += usize::from(now.since(since) <= sight.fall_window);
        }
    }
    if before {
        let fails = |tally: &&Tally| tally.failing * 2 > tally.targets;
        return regions.values().filter(fails).count() * 2 > regions.len();
    }
    let turned = |tally: &&Tally| tally.turned * 2 > tally.targets;
    let failed = regions.values().filter(turned).count();
    let outside = regions.iter().filter(|(region, _)| **region != own);
    let outside: usize = outside.map(|(_, tally)| tally.turned).sum();
    failed * 2 > regions.len() && (failed > ACCIDENTS_MAX || outside > ACCIDENTS_MAX)
}

/// The targets of one region.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    targets: usize,
    failing: usize,
    /// Those that began to fail within the window.
    turned: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Targets in words: a letter for the region (`a` is the own one), `-` when it serves, `!` when
    /// it began to fail just now, `x` when it has failed for long.
    fn suspect(before: bool, text: &str) -> bool {
        let now = Tick(100_000);
        let sights = text.split(' ').filter(|word| !word.is_empty()).map(|word| {
            let (region, state) = word.split_at(1);
            Sight {
                region: RegionId(u16::from(region.as_bytes()[0])),
                failing_since: match state {
                    "!" => Some(Tick(95_000)),
                    "x" => Some(Tick(50_000)),
                    _ => None,
                },
                fall_window: Duration::from_secs(15),
            }
        });
        is_suspect(before, RegionId(u16::from(b'a')), sights, now)
    }

    #[test]
    fn many_unrelated_failures_at_once_are_the_probers_own() {
        for (case, targets, expected) in [
            ("nothing is probed", "", false),
            ("all is well", "a- b- c-", false),
            ("one region of three fails", "a- b! b! b! b! c-", false),
            ("two of three, two targets", "a- b! c!", false),
            ("two of three, three targets outside", "a- b! b! c!", true),
            ("all three", "a! b! c!", true),
            ("three of five", "a- b- c! d! e!", true),
            ("three of six are not more than half", "a- b- c- d! e! f!", false),
            ("half the targets of a region are not most", "a- b! b- c! c- d! d-", false),
            ("the only other region, three targets", "a- b! b! b!", false),
            ("both regions, three targets outside", "a! b! b! b!", true),
            ("both regions, too few targets to tell", "a! b! b!", false),
            ("they failed one after the other", "ax bx cx", false),
            ("long dead ones beside a new one", "a- bx cx d!", false),
        ] {
            assert_eq!(suspect(false, targets), expected, "{case}");
        }
    }

    #[test]
    fn it_is_over_when_no_more_than_half_fail() {
        for (case, targets, expected) in [
            ("all still fail, for long now", "ax bx cx", true),
            ("most do", "a- bx cx", true),
            ("half do", "a- b- cx dx", false),
            ("one of three does", "a- b- cx", false),
            ("nothing is probed any more", "", false),
        ] {
            assert_eq!(suspect(true, targets), expected, "{case}");
        }
    }
}
