//! How far this node can rely on its peers.

use super::Quorum;

/// How far this node can rely on its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// No other prober is known: this node goes by its own probes.
    #[default]
    Alone,
    /// Every known probing region is heard.
    Live,
    /// Some are not, or many probers were lost at once.
    Degraded,
    /// Too few are heard for a vote: what was settled last is frozen.
    Isolated,
}

impl Mode {
    /// All of them, for metrics.
    pub const ALL: [Self; 4] = [Self::Alone, Self::Live, Self::Degraded, Self::Isolated];

    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Live => "live",
            Self::Degraded => "degraded",
            Self::Isolated => "isolated",
        }
    }
}

/// Who is heard at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// Whether the engine that carries the pages can be reached.
    pub link: bool,
    /// Other probers heard within the last hour.
    pub others: usize,
    /// Regions with a prober heard within the last hour, the own among them while it probes.
    pub known: usize,
    /// Those with a live prober, be it impaired.
    pub fresh: usize,
    /// Those with a prober whose votes count.
    pub voting: usize,
    /// More probers were lost within half a minute than a region takes along.
    pub losses: bool,
}

/// The mode, and what a vote may come to in it.
pub fn mode(now: Situation) -> (Mode, Quorum) {
    let Situation { link, others, known, fresh, voting, losses } = now;
    if others == 0 {
        return (Mode::Alone, Quorum::Sole);
    }
    let worse = if fresh < known || losses || !link { Mode::Degraded } else { Mode::Live };
    if known < 2 {
        return (worse, Quorum::Sole);
    }
    if voting < 2 || !link || fresh * 2 < known {
        return (Mode::Isolated, Quorum::Lost);
    }
    (worse, if losses { Quorum::NoRemovals } else { Quorum::Full })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_follows_from_who_is_heard() {
        let all = Situation { link: true, others: 2, known: 3, fresh: 3, voting: 3, losses: false };
        let cases = [
            ("nobody else is known", Situation { others: 0, known: 1, ..all }, Mode::Alone),
            (
                "nobody is, whatever the link",
                Situation { others: 0, link: false, ..all },
                Mode::Alone,
            ),
            ("all are heard", all, Mode::Live),
            ("one region is late", Situation { fresh: 2, ..all }, Mode::Degraded),
            ("one region is gone", Situation { fresh: 2, voting: 2, ..all }, Mode::Degraded),
            ("many were lost at once", Situation { losses: true, ..all }, Mode::Degraded),
            ("one is left to vote", Situation { fresh: 2, voting: 1, ..all }, Mode::Isolated),
            ("less than half is fresh", Situation { fresh: 1, voting: 3, ..all }, Mode::Isolated),
            ("the link is down", Situation { link: false, ..all }, Mode::Isolated),
            (
                "half of four is enough",
                Situation { known: 4, fresh: 2, voting: 2, ..all },
                Mode::Degraded,
            ),
            (
                "two nodes of one region",
                Situation { known: 1, fresh: 1, voting: 1, ..all },
                Mode::Live,
            ),
            (
                "two nodes of one region that do not hear each other",
                Situation { known: 1, fresh: 1, voting: 1, link: false, ..all },
                Mode::Degraded,
            ),
        ];
        for (case, situation, expected) in cases {
            assert_eq!(mode(situation).0, expected, "{case}");
        }
    }

    #[test]
    fn one_known_region_decides_alone_and_many_losses_freeze_removals() {
        let two = Situation { link: true, others: 1, known: 2, fresh: 2, voting: 2, losses: false };
        assert_eq!(mode(two).1, Quorum::Full);
        assert_eq!(mode(Situation { losses: true, ..two }).1, Quorum::NoRemovals);
        assert_eq!(mode(Situation { voting: 1, ..two }).1, Quorum::Lost);
        assert_eq!(mode(Situation { known: 1, voting: 0, link: false, ..two }).1, Quorum::Sole);
    }
}
