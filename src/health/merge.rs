//! Verdicts of several vantages on one endpoint and monitor become one.

use super::Verdict;
use crate::model::Vantage;

/// One verdict out of those of the vantages that vote.
///
/// A vantage that does not know yet does not vote; with no votes at all nothing is known. Today
/// the only vantage is this node's own region.
pub fn merge(rule: Vantage, verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    let (mut up, mut down) = (0_usize, 0_usize);
    for verdict in verdicts {
        match verdict {
            Verdict::Up => up += 1,
            Verdict::Down => down += 1,
            Verdict::Unknown => {}
        }
    }
    let is_down = match rule {
        Vantage::Any => down > 0,
        Vantage::Majority => down > up,
        Vantage::All => up == 0,
    };
    match (up + down, is_down) {
        (0, _) => Verdict::Unknown,
        (_, true) => Verdict::Down,
        (_, false) => Verdict::Up,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Vantage::{All, Any, Majority};
    use Verdict::{Down, Unknown, Up};

    #[test]
    fn votes_follow_the_rule() {
        let cases: [(&str, Vantage, &[Verdict], Verdict); 13] = [
            ("nobody votes", Any, &[], Unknown),
            ("nobody knows yet", All, &[Unknown, Unknown], Unknown),
            ("a lone vantage decides: up", Majority, &[Up], Up),
            ("a lone vantage decides: down", Majority, &[Down], Down),
            ("one is enough for any", Any, &[Up, Up, Down], Down),
            ("any without a down is up", Any, &[Up, Unknown, Up], Up),
            ("half is no majority", Majority, &[Up, Down], Up),
            ("two of three are", Majority, &[Up, Down, Down], Down),
            ("one of three is not", Majority, &[Up, Up, Down], Up),
            ("the unknown do not count towards it", Majority, &[Up, Down, Down, Unknown], Down),
            ("one up vote vetoes all", All, &[Down, Down, Up], Up),
            ("all down is down", All, &[Down, Down], Down),
            ("the unknown do not veto all", All, &[Down, Unknown], Down),
        ];
        for (case, rule, votes, expected) in cases {
            assert_eq!(merge(rule, votes.iter().copied()), expected, "{case}");
        }
    }

    #[test]
    fn the_rules_are_ordered_and_one_more_down_vote_never_brings_up() {
        let all = [Up, Unknown, Down];
        for a in all {
            for b in all {
                for c in all {
                    let votes = [a, b, c];
                    let [any, majority, every] =
                        [Any, Majority, All].map(|rule| merge(rule, votes) == Down);
                    assert!(any >= majority && majority >= every, "{votes:?}");
                    for rule in [Any, Majority, All] {
                        let worse = merge(rule, [a, b, c, Down]);
                        assert!(merge(rule, votes) != Down || worse == Down, "{rule:?} {votes:?}");
                    }
                }
            }
        }
    }
}
