//! Admission: whether a request goes on at once, waits for a place, or is turned away.

use crate::model::Priority;

impl Priority {
    /// Reads the value of a priority field: `low`, `normal` or `high`, or an urgency as in RFC 9218
    /// section 4.1 (`u=0` first to `u=7` last, 3 being usual). Anything else is normal.
    pub fn read(value: &[u8]) -> Self {
        let urgency = |part: &[u8]| match *part.trim_ascii() {
            [b'u', b'=', digit @ b'0'..=b'7'] => Some(digit - b'0'),
            _ => None,
        };
        let value = value.trim_ascii();
        if value.eq_ignore_ascii_case(b"low") {
            return Self::Low;
        }
        if value.eq_ignore_ascii_case(b"high") {
            return Self::High;
        }
        match value.split(|octet| *octet == b',').find_map(urgency) {
            Some(0..=2) => Self::High,
            Some(4..) => Self::Low,
            _ => Self::Normal,
        }
    }

    /// The share of places that requests of this priority may fill.
    fn share(self) -> f64 {
        match self {
            Self::Low => 0.7,
            Self::Normal => 0.9,
            Self::High => 1.0,
        }
    }
}

/// How full a pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fullness {
    /// Requests under way.
    pub in_flight: u32,
    /// Places for them: what all endpoints together may have.
    pub places: u32,
    /// Requests that wait for a place.
    pub queued: u32,
    /// How many may wait; 0: none.
    pub queue: u32,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It goes on.
    Now,
    /// It waits for a place.
    Wait,
    /// It is turned away with 503, for others matter more or nothing is left.
    Turned,
}

/// Decides on a request. While there are places to spare priorities make no difference; the last
/// places and the queue are kept for what matters more.
pub fn admit(fullness: Fullness, priority: Priority) -> Admission {
    let open = |taken: u32, of: u32, share: f64| {
        // With few places a share of them must not be none at all.
        taken < of && f64::from(taken) < (f64::from(of) * share).max(1.0)
    };
    let share = priority.share();
    // Who comes later does not overtake those who wait.
    if fullness.queued == 0 && open(fullness.in_flight, fullness.places, share) {
        return Admission::Now;
    }
    if open(fullness.queued, fullness.queue, share) { Admission::Wait } else { Admission::Turned }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_less_is_turned_away_first() {
        use Admission::{Now, Turned, Wait};
        for (case, in_flight, queued, expected) in [
            ("an idle pool", 0, 0, [Now, Now, Now]),
            ("a busy one", 69, 0, [Now, Now, Now]),
            ("one that fills up", 70, 0, [Wait, Now, Now]),
            ("one nearly full", 90, 0, [Wait, Wait, Now]),
            ("a full one", 100, 0, [Wait, Wait, Wait]),
            ("a queue", 60, 1, [Wait, Wait, Wait]),
            ("a longer queue", 100, 7, [Turned, Wait, Wait]),
            ("one nearly full", 100, 9, [Turned, Turned, Wait]),
            ("a full one", 100, 10, [Turned, Turned, Turned]),
        ] {
            let fullness = Fullness { in_flight, places: 100, queued, queue: 10 };
            let found = [Priority::Low, Priority::Normal, Priority::High]
                .map(|priority| admit(fullness, priority));
            assert_eq!(found, expected, "{case}");
        }
        let tiny = Fullness { in_flight: 0, places: 1, queued: 0, queue: 0 };
        assert_eq!(admit(tiny, Priority::Low), Now, "one place is for everyone");
        assert_eq!(admit(Fullness { in_flight: 1, ..tiny }, Priority::High), Turned);
        assert_eq!(admit(Fullness { places: 0, ..tiny }, Priority::High), Turned);
    }

    #[test]
    fn priorities_are_words_or_urgencies() {
        for (value, expected) in [
            ("low", Priority::Low),
            (" High ", Priority::High),
            ("normal", Priority::Normal),
            ("u=0", Priority::High),
            ("u=3, i", Priority::Normal),
            ("i, u=5", Priority::Low),
            ("u=8", Priority::Normal),
            ("", Priority::Normal),
            ("whatever", Priority::Normal),
        ] {
            assert_eq!(Priority::read(value.as_bytes()), expected, "{value}");
        }
    }
}
