//! Votes and what comes of them, case by case, and properties of the rules.

use proptest::prelude::*;

use super::super::Level;
use super::*;
use Quorum::{Full, Lost, NoRemovals, Sole};
use Vantage::{All, Any, AtLeast, Majority};
use Verdict::{Down, Unknown, Up};

#[test]
fn a_region_says_what_most_of_its_probers_say() {
    let cases: [(&str, &[Verdict], Verdict); 8] = [
        ("nobody probes", &[], Unknown),
        ("nobody knows yet", &[Unknown, Unknown], Unknown),
        ("a lone prober: up", &[Up], Up),
        ("a lone prober: down", &[Down], Down),
        ("even is up", &[Up, Down], Up),
        ("two of three", &[Up, Down, Down], Down),
        ("the unknown do not count", &[Down, Unknown, Unknown], Down),
        ("one liar of two", &[Down, Up, Unknown], Up),
    ];
    for (case, votes, expected) in cases {
        assert_eq!(regional(votes.iter().copied()), expected, "{case}");
    }
}

#[test]
fn down_takes_the_rule_and_two_regions() {
    let cases: [(&str, Vantage, &[Verdict], Verdict); 16] = [
        ("one is not enough for any", Any, &[Up, Up, Down], Up),
        ("two are", Any, &[Up, Up, Up, Down, Down], Down),
        ("half is no majority", Majority, &[Up, Up, Down, Down], Up),
        ("two of three are", Majority, &[Up, Down, Down], Down),
        ("one of three is not", Majority, &[Up, Up, Down], Up),
        ("both of two are", Majority, &[Down, Down], Down),
        ("one of two is not", Majority, &[Down, Up], Up),
        ("the unknown do not count towards it", Majority, &[Up, Down, Down, Unknown], Down),
        ("one up vote vetoes all", All, &[Down, Down, Up], Up),
        ("all down is down", All, &[Down, Down], Down),
        ("the unknown do not veto all", All, &[Down, Down, Unknown], Down),
        ("at least one takes two all the same", AtLeast(1), &[Down, Up, Up], Up),
        ("at least two of four", AtLeast(2), &[Down, Down, Up, Up], Down),
        ("two are less than at least three", AtLeast(3), &[Down, Down, Up, Up], Up),
        ("at least three, but only two vote", AtLeast(3), &[Down, Down], Down),
        ("at least three, and one of two is up", AtLeast(3), &[Down, Up], Up),
    ];
    for (case, rule, votes, expected) in cases {
        for before in [Unknown, Up, Down] {
            let poll = Poll::of(votes.iter().copied(), Unknown);
            let expected = Merged { settled: expected, shown: expected };
            assert_eq!(merged(rule, poll, Full, before), expected, "{case}, before {before:?}");
        }
    }
}

/// A name, the quorum, what was before, the voters, what is seen here; what is settled and shown.
type Case<'a> = (&'a str, Quorum, Verdict, &'a [Verdict], Verdict, (Verdict, Verdict));

#[test]
fn without_a_quorum_what_was_settled_is_frozen_and_only_doubted() {
    let cases: [Case<'_>; 15] = [
        ("the only region decides: down", Sole, Up, &[Down], Down, (Down, Down)),
        ("the only region decides: up", Sole, Down, &[Up], Up, (Up, Up)),
        ("the only region knows nothing", Sole, Down, &[], Unknown, (Down, Down)),
        ("cut off, all as it was", Lost, Up, &[Up], Up, (Up, Up)),
        ("cut off, and down from here", Lost, Up, &[Down], Down, (Up, Unknown)),
        ("cut off, and up from here", Lost, Down, &[Up], Up, (Down, Unknown)),
        ("cut off, and down as before", Lost, Down, &[Down], Down, (Down, Down)),
        ("cut off before anything was settled: up", Lost, Unknown, &[Up], Up, (Unknown, Up)),
        (
            "cut off before anything was settled: down",
            Lost,
            Unknown,
            &[Down],
            Down,
            (Unknown, Unknown),
        ),
        ("cut off, votes of many still known", Lost, Up, &[Down, Down], Down, (Up, Unknown)),
        ("cut off without eyes", Lost, Up, &[], Unknown, (Up, Up)),
        ("a quorum, but one voter on this one", Full, Up, &[Down], Down, (Up, Unknown)),
        ("many lost at once: nothing falls", NoRemovals, Up, &[Down, Down], Down, (Up, Up)),
        (
            "nor what was never settled",
            NoRemovals,
            Unknown,
            &[Down, Down],
            Down,
            (Unknown, Unknown),
        ),
        ("but things come back", NoRemovals, Down, &[Up, Up], Up, (Up, Up)),
    ];
    for (case, quorum, before, votes, own, (settled, shown)) in cases {
        let poll = Poll::of(votes.iter().copied(), own);
        assert_eq!(merged(Majority, poll, quorum, before), Merged { settled, shown }, "{case}");
    }
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![Just(Unknown), Just(Up), Just(Down)]
}

fn rule() -> impl Strategy<Value = Vantage> {
    prop_oneof![Just(Any), Just(Majority), Just(All), (1_u16..6).prop_map(AtLeast)]
}

fn quorum() -> impl Strategy<Value = Quorum> {
    prop_oneof![Just(Sole), Just(Full), Just(NoRemovals), Just(Lost)]
}

proptest! {
    #[test]
    fn one_more_down_vote_never_brings_up(
        votes in proptest::collection::vec(verdict(), 1..9), rule in rule(), at: usize,
    ) {
        let mut worse = votes.clone();
        worse[at % votes.len()] = Down;
        let shown = |votes: &[Verdict]| {
            merged(rule, Poll::of(votes.iter().copied(), Unknown), Full, Up).shown
        };
        prop_assert!(Level::from(shown(&worse)) >= Level::from(shown(&votes)));
    }

    #[test]
    fn the_order_of_the_regions_does_not_matter(
        mut votes in proptest::collection::vec(verdict(), 0..9), rule in rule(),
        before in verdict(), quorum in quorum(), own in verdict(),
    ) {
        let first = merged(rule, Poll::of(votes.iter().copied(), own), quorum, before);
        votes.reverse();
        let second = merged(rule, Poll::of(votes.iter().copied(), own), quorum, before);
        prop_assert_eq!(first, second);
    }

    #[test]
    fn deciding_again_changes_nothing(
        votes in proptest::collection::vec(verdict(), 0..9), rule in rule(), before in verdict(),
        quorum in quorum(), own in verdict(),
    ) {
        let poll = Poll::of(votes.iter().copied(), own);
        let once = merged(rule, poll, quorum, before);
        prop_assert_eq!(merged(rule, poll, quorum, once.settled), once);
    }

    #[test]
    fn nothing_goes_down_but_by_two_regions_with_a_quorum_or_the_only_one(
        votes in proptest::collection::vec(verdict(), 0..9), rule in rule(),
        before in prop_oneof![Just(Up), Just(Unknown)], quorum in quorum(), own in verdict(),
    ) {
        let poll = Poll::of(votes.iter().copied(), own);
        if merged(rule, poll, quorum, before).shown == Down {
            prop_assert!(quorum == Sole || (quorum == Full && poll.down >= 2));
        }
    }
}
