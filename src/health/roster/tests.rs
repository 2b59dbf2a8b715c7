//! Who votes, as probers come and go.

use super::*;
use crate::model::Region;
use crate::place::Point;

fn fleet(regions: &[&str]) -> Fleet {
    let point = Point { latitude: 0.0, longitude: 0.0 };
    let region =
        |name: &&str| Region { name: (*name).to_owned(), point, country: None, continent: None };
    Fleet { regions: regions.iter().map(region).collect(), ..Fleet::default() }
}

fn prober(text: &str) -> Prober {
    let (region, node) = text.split_once('/').unwrap();
    Prober { region: region.to_owned(), node: node.to_owned() }
}

/// A roster in `eu` that has heard of these, all live.
fn roster(probers: &[&str]) -> Roster {
    let mut roster = Roster::new(&fleet(&["eu", "us", "ap", "br"]));
    for text in probers {
        assert!(roster.stands(&prober(text), Standing::Live, Tick(0)));
    }
    roster
}

/// The seats as `eu live, us dead`.
fn seats(roster: &Roster, now: Tick) -> String {
    let council = roster.council(now);
    let seats = council
        .seats
        .iter()
        .map(|(region, seat)| format!("{} {}", roster.region_name(*region), seat.as_str()));
    seats.collect::<Vec<_>>().join(", ")
}

/// A name, the probers, and the seats that follow.
type Case<'a> = (&'a str, &'a [(&'a str, Standing)], &'a str);

#[test]
fn the_best_prober_of_a_region_stands_for_it() {
    let cases: [Case<'_>; 6] = [
        ("nobody but this node", &[], "eu live"),
        ("another in the same region", &[("eu/b", Standing::Dead)], "eu live"),
        (
            "one live of two",
            &[("us/a", Standing::Dead), ("us/b", Standing::Live)],
            "eu live, us live",
        ),
        (
            "one late of two",
            &[("us/a", Standing::Late), ("us/b", Standing::Impaired)],
            "eu live, us late",
        ),
        ("only impaired ones", &[("us/a", Standing::Impaired)], "eu live, us impaired"),
        ("of a region nobody has heard of", &[("xx/a", Standing::Live)], "eu live"),
    ];
    for (case, standings, expected) in cases {
        let mut roster = roster(&[]);
        for (text, standing) in standings {
            roster.stands(&prober(text), *standing, Tick(0));
        }
        assert_eq!(seats(&roster, Tick(1)), expected, "{case}");
    }
}

#[test]
fn a_prober_is_forgotten_an_hour_after_it_was_heard() {
    let mut roster = roster(&["us/a"]);
    roster.stands(&prober("us/a"), Standing::Dead, Tick(1000));
    let hour = KNOWN_FOR.as_millis() as u64;
    assert_eq!(roster.council(Tick(2000)).mode, Mode::Isolated, "two are known, one is heard");
    assert!(roster.forget(Tick(999 + hour)).is_empty());
    assert_eq!(roster.council(Tick(999 + hour)).until, Some(Tick(1000 + hour)));
    assert_eq!(roster.forget(Tick(1000 + hour)), [0]);
    assert_eq!(roster.council(Tick(1000 + hour)).mode, Mode::Alone);
    assert_eq!(roster.slot(&prober("ap/z"), Tick(1000 + hour)), Some(0), "its slot is free again");
}

#[test]
fn an_impaired_node_does_not_vote_unless_it_is_alone() {
    let mut lone = roster(&[]);
    lone.suspect = true;
    let council = lone.council(Tick(0));
    assert!(council.own_votes && council.suspect && !lone.is_impaired());
    let mut roster = roster(&["us/a", "ap/a"]);
    roster.suspect = true;
    assert!(!roster.council(Tick(0)).own_votes && roster.is_impaired());
    assert_eq!(seats(&roster, Tick(0)), "eu impaired, us live, ap live");
}

#[test]
fn many_losses_in_several_regions_freeze_removals_for_half_a_minute() {
    let all = ["eu/b", "us/a", "us/b", "ap/a", "ap/b", "br/a", "br/b"];
    let cases: [(&str, &[&str], Quorum); 4] = [
        ("one region of four", &["us/a", "us/b"], Quorum::Full),
        ("a quarter of them", &["us/a", "ap/b"], Quorum::Full),
        ("three of eight in two regions", &["us/a", "us/b", "ap/b"], Quorum::NoRemovals),
        ("two regions of four", &["us/a", "us/b", "ap/a", "ap/b"], Quorum::NoRemovals),
    ];
    for (case, lost, expected) in cases {
        let mut roster = roster(&all);
        for text in lost {
            roster.stands(&prober(text), Standing::Dead, Tick(5000));
        }
        assert_eq!(roster.council(Tick(34_999)).quorum, expected, "{case}");
        assert_eq!(roster.council(Tick(35_000)).quorum, Quorum::Full, "{case}, later");
        assert_eq!(roster.council(Tick(6000)).until, Some(Tick(35_000)), "{case}");
    }
}

#[test]
fn no_more_probers_are_remembered_than_there_is_room_for() {
    let mut roster = roster(&[]);
    for number in 0..PROBERS_MAX {
        assert!(roster.slot(&prober(&format!("us/{number}")), Tick(0)).is_some());
    }
    assert_eq!(roster.slot(&prober("us/x"), Tick(0)), None);
    assert!(!roster.stands(&prober("us/x"), Standing::Live, Tick(0)));
    assert!(roster.stands(&prober("us/7"), Standing::Late, Tick(0)), "the known ones are heard on");
}

#[test]
fn a_reload_finds_the_regions_by_name() {
    let mut roster = roster(&["us/a", "ap/a"]);
    roster.own = RegionId(3);
    let roster = roster.carried_to(&fleet(&["ap", "br", "xx"]));
    assert_eq!(seats(&roster, Tick(0)), "ap live, br live", "us is no region any more");
}
