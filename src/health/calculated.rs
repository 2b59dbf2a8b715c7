//! What a calculated monitor says, from what others say of the same endpoint.

use super::Verdict;
use crate::model::{Calculated, MonitorId};

/// The verdict of `rule`, where `verdict_of` gives those of the monitors it is calculated from.
///
/// Weights of monitors that do not know yet can go either way: only what they cannot change is
/// said.
pub fn calculate(rule: &Calculated, verdict_of: impl Fn(MonitorId) -> Verdict) -> Verdict {
    let (up, unknown) = weigh(rule, verdict_of);
    let threshold = u64::from(rule.threshold);
    match (up >= threshold, up + unknown >= threshold) {
        (true, _) => if_inverted(rule, Verdict::Up),
        (false, true) => Verdict::Unknown,
        (false, false) => if_inverted(rule, Verdict::Down),
    }
}

/// Why it says so: `up weighs 1, expected 2`.
pub(super) fn words(rule: &Calculated, verdict_of: impl Fn(MonitorId) -> Verdict) -> String {
    let (up, unknown) = weigh(rule, verdict_of);
    let maybe = if unknown > 0 { format!(" to {}", up + unknown) } else { String::new() };
    let most = if rule.invert { "less than" } else { "at least" };
    format!("up weighs {up}{maybe}, expected {most} {}", rule.threshold)
}

/// The weights of those that are up, and of those of which nothing is known.
fn weigh(rule: &Calculated, verdict_of: impl Fn(MonitorId) -> Verdict) -> (u64, u64) {
    rule.of.iter().fold((0, 0), |(up, unknown), (monitor, weight)| {
        let weight = u64::from(*weight);
        match verdict_of(*monitor) {
            Verdict::Up => (up + weight, unknown),
            Verdict::Unknown => (up, unknown + weight),
            Verdict::Down => (up, unknown),
        }
    })
}

fn if_inverted(rule: &Calculated, verdict: Verdict) -> Verdict {
    match (rule.invert, verdict) {
        (true, Verdict::Up) => Verdict::Down,
        (true, Verdict::Down) => Verdict::Up,
        _ => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Down, Unknown, Up};

    fn rule(weights: &[u32], threshold: u32, invert: bool) -> Calculated {
        Calculated {
            of: (0..).map(MonitorId).zip(weights.iter().copied()).collect(),
            threshold,
            invert,
        }
    }

    #[test]
    fn those_that_are_up_are_weighed() {
        let cases: [(&str, Calculated, &[Verdict], Verdict, &str); 9] = [
            (
                "one of two",
                rule(&[1, 1], 1, false),
                &[Up, Down],
                Up,
                "up weighs 1, expected at least 1",
            ),
            (
                "both of two",
                rule(&[1, 1], 2, false),
                &[Up, Down],
                Down,
                "up weighs 1, expected at least 2",
            ),
            (
                "none of two",
                rule(&[1, 1], 1, false),
                &[Down, Down],
                Down,
                "up weighs 0, expected at least 1",
            ),
            (
                "one may come up yet",
                rule(&[1, 1], 1, false),
                &[Unknown, Down],
                Unknown,
                "up weighs 0 to 1, expected at least 1",
            ),
            (
                "the other cannot help",
                rule(&[1, 1], 2, false),
                &[Unknown, Down],
                Down,
                "up weighs 0 to 1, expected at least 2",
            ),
            (
                "the other cannot harm",
                rule(&[1, 1], 1, false),
                &[Up, Unknown],
                Up,
                "up weighs 1 to 2, expected at least 1",
            ),
            (
                "the heavy one is enough",
                rule(&[2, 1, 1], 2, false),
                &[Up, Down, Down],
                Up,
                "up weighs 2, expected at least 2",
            ),
            ("inverted", rule(&[1], 1, true), &[Up], Down, "up weighs 1, expected less than 1"),
            (
                "inverted, unknown",
                rule(&[1], 1, true),
                &[Unknown],
                Unknown,
                "up weighs 0 to 1, expected less than 1",
            ),
        ];
        for (case, rule, verdicts, expected, said) in cases {
            let of = |id: MonitorId| verdicts[usize::from(id.0)];
            assert_eq!(calculate(&rule, of), expected, "{case}");
            assert_eq!(words(&rule, of), said, "{case}");
        }
    }

    #[test]
    fn what_is_said_holds_however_the_unknown_turn_out() {
        let all = [Up, Down, Unknown];
        for threshold in 1..=6 {
            for invert in [false, true] {
                let rule = rule(&[1, 2, 3], threshold, invert);
                for number in 0..27_usize {
                    let known = [number % 3, number / 3 % 3, number / 9].map(|at| all[at]);
                    let said = calculate(&rule, |id| known[usize::from(id.0)]);
                    for choice in 0..8_u16 {
                        let turned = |id: MonitorId| match known[usize::from(id.0)] {
                            Unknown if choice >> id.0 & 1 == 1 => Up,
                            Unknown => Down,
                            verdict => verdict,
                        };
                        let then = calculate(&rule, turned);
                        assert_ne!(then, Unknown);
                        assert!(said == Unknown || said == then, "{rule:?} {known:?}");
                    }
                }
            }
        }
    }
}
