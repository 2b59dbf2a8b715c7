//! When a certificate is ordered: a pure function of what is known of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock;

/// Part of its lifetime that a certificate has left when it is renewed.
const LEFT: f64 = 1.0 / 3.0;
/// Part of that time by which nodes spread their orders, so that a fleet that was set up in one
/// hour does not renew in one.
const SPREAD: f64 = 0.1;
/// Pause after an authority could not be reached, which costs it nothing; doubles up to
/// [`UNREACHED_MAX`].
const UNREACHED: Duration = Duration::from_secs(30);
const UNREACHED_MAX: Duration = Duration::from_secs(3_600);
/// Pause after an authority has refused; doubles up to [`REFUSED_MAX`]. Public authorities bear
/// five failed validations of a name in an hour.
const REFUSED: Duration = Duration::from_secs(600);
const REFUSED_MAX: Duration = Duration::from_secs(86_400);
/// Least pause after an authority has said that there were too many orders.
const LIMITED: Duration = Duration::from_secs(3 * 3_600);
/// Certificates of the same names that are ordered within [`WEEK`]: one less than public
/// authorities bear, so that an operator has one left.
const ISSUED_MAX: usize = 4;
const WEEK: u64 = 7 * 86_400;

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// There is a certificate.
    Issued,
    /// The authority could not be reached, or did not reply in time.
    Unreached,
    /// The authority refused.
    Refused,
    /// The authority says that there were too many orders.
    Limited,
}

impl Outcome {
    /// All of them, for metrics that show zeros.
    pub const ALL: [Self; 4] = [Self::Issued, Self::Unreached, Self::Refused, Self::Limited];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Unreached => "unreached",
            Self::Refused => "refused",
            Self::Limited => "limited",
        }
    }
}

/// What is remembered of the orders of one certificate. Times are seconds since 1970-01-01 UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// When certificates were issued in the last week, the oldest first.
    pub issued: Vec<u64>,
    /// Orders in a row that failed.
    pub failures: u32,
    /// When and how the last order ended; `None`: there was none.
    pub last: Option<(u64, Outcome)>,
}

impl Record {
    /// Notes how an order ended.
    pub fn note(&mut self, outcome: Outcome, now: u64) {
        self.issued.retain(|at| at.saturating_add(WEEK) > now && *at <= now);
        self.last = Some((now, outcome));
        if outcome == Outcome::Issued {
            self.failures = 0;
            self.issued.push(now);
        } else {
            self.failures = self.failures.saturating_add(1);
        }
    }
}

/// The second since 1970 at which a certificate is to be ordered, which may have passed.
///
/// `validity` is that of the certificate there is, `None` where there is none of the wanted names;
/// `chance` from 0 to 1 is this certificate's own and stays until the next order.
pub fn due(validity: Option<(i64, i64)>, record: &Record, now: u64, chance: f64) -> u64 {
    let wanted = validity.map_or(0, |(from, to)| {
        let left = to.saturating_sub(from).max(0) as f64 * LEFT;
        // Earlier, never later.
        let early = left * (1.0 + SPREAD * chance.clamp(0.0, 1.0));
        to.saturating_sub(early as i64).max(0).unsigned_abs()
    });
    wanted.max(patient(record, now, chance)).max(bearable(record, now))
}

/// When the pause after a failure is over.
fn patient(record: &Record, now: u64, chance: f64) -> u64 {
    let Some((last, outcome)) = record.last else { return 0 };
    let (first, most) = match outcome {
        Outcome::Issued => return 0,
        Outcome::Unreached => (UNREACHED, UNREACHED_MAX),
        Outcome::Refused => (REFUSED, REFUSED_MAX),
        Outcome::Limited => (LIMITED, REFUSED_MAX),
    };
    let pause = clock::doubled(first, record.failures.saturating_sub(1), most);
    // A failure that is to come is one of a clock that was set back: it holds from now on.
    let pause = pause.mul_f64(1.0 + SPREAD * chance.clamp(0.0, 1.0)).as_secs();
    last.min(now).saturating_add(pause)
}

/// When an authority can bear one more certificate.
fn bearable(record: &Record, now: u64) -> u64 {
    let issued = record.issued.iter().filter(|at| at.saturating_add(WEEK) > now && **at <= now);
    let mut issued: Vec<u64> = issued.copied().collect();
    issued.sort_unstable();
    let over = issued.len().checked_sub(ISSUED_MAX);
    over.and_then(|over| issued.get(over)).map_or(0, |at| at + WEEK)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    /// A day that certificates are issued on.
    const NOW: u64 = 1_790_000_000;

    fn lasting(days: u64) -> (i64, i64) {
        (NOW.cast_signed(), (NOW + days * DAY).cast_signed())
    }

    fn failed(outcome: Outcome, failures: u32) -> Record {
        Record { failures, last: Some((NOW, outcome)), ..Record::default() }
    }

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_life_is_left_or_a_little_before() {
        let fresh = Record::default();
        assert_eq!(due(None, &fresh, NOW, 0.9), 0, "there is none");
        assert_eq!(due(Some(lasting(90)), &fresh, NOW, 0.0), NOW + 60 * DAY);
        assert_eq!(due(Some(lasting(90)), &fresh, NOW, 1.0), NOW + 57 * DAY);
        assert_eq!(due(Some(lasting(6)), &fresh, NOW, 0.0), NOW + 4 * DAY);
        assert!(due(Some(lasting(90)), &fresh, NOW, 7.0) >= NOW + 57 * DAY, "no chance");
        assert!(due(Some((5, 3)), &fresh, NOW, 0.5) < NOW, "one that ends before it begins");
        assert!(due(Some((i64::MIN, i64::MAX)), &fresh, NOW, 0.5) > NOW);
    }

    #[test]
    fn failures_make_patient_and_success_does_not() {
        for (case, outcome, failures, pause) in [
            ("first", Outcome::Unreached, 1, 30),
            ("fourth", Outcome::Unreached, 4, 240),
            ("many", Outcome::Unreached, 4_000, 3_600),
            ("first refusal", Outcome::Refused, 1, 600),
            ("third", Outcome::Refused, 3, 2_400),
            ("many", Outcome::Refused, 40, DAY),
            ("too many orders", Outcome::Limited, 1, 3 * 3_600),
        ] {
            let record = failed(outcome, failures);
            assert_eq!(due(None, &record, NOW, 0.0), NOW + pause, "{outcome:?} {case}");
            let later = due(None, &record, NOW, 1.0);
            assert_eq!(later, NOW + pause + pause / 10, "{outcome:?} {case}");
        }
        assert_eq!(due(None, &failed(Outcome::Issued, 0), NOW, 0.5), 0);
        // A clock that was a year ahead when the order failed.
        let ahead = Record {
            last: Some((NOW + 365 * DAY, Outcome::Refused)),
            failures: 1,
            ..Record::default()
        };
        assert_eq!(due(None, &ahead, NOW, 0.0), NOW + 600);
    }

    #[test]
    fn no_hour_sees_more_refusals_and_no_week_more_certificates_than_authorities_bear() {
        let mut record = Record::default();
        let (mut now, mut orders) = (NOW, Vec::new());
        while now < NOW + 30 * DAY {
            now = now.max(due(None, &record, now, 0.0));
            orders.push(now);
            record.note(Outcome::Refused, now);
            now += 1;
        }
        for at in &orders {
            let within = orders.iter().filter(|other| (*at..at + 3_600).contains(other));
            assert!(within.count() <= 4, "{orders:?}");
        }
        assert!(orders.len() > 25, "it does not give up: {orders:?}");
        // Certificates that cannot be kept.
        let (mut record, mut now, mut orders) = (Record::default(), NOW, Vec::new());
        while now < NOW + 30 * DAY {
            now = now.max(due(None, &record, now, 0.0));
            orders.push(now);
            record.note(Outcome::Issued, now);
            assert!(record.issued.len() <= ISSUED_MAX, "it is bounded");
            now += 1;
        }
        for at in &orders {
            let within = orders.iter().filter(|other| (*at..at + WEEK).contains(other));
            assert!(within.count() <= ISSUED_MAX, "{orders:?}");
        }
        assert!(orders.len() > 12, "{orders:?}");
    }
}
