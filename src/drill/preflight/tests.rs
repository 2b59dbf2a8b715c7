//! Drills that must not run, and one that may.

use std::sync::Arc;

use super::*;
use crate::clock;
use crate::health::HealthTable;
use crate::snapshot::{Event, Publisher, load};
use crate::written::{NODE, write};

const FLEET: &str = "version = 1\n\
    [region.eu]\nlocation = \"DE\"\n[region.us]\nlocation = \"US\"\n\
    [region.ap]\nlocation = \"JP\"\n\
    [pool.web]\nendpoints = [\n\
    { region = \"eu\", address = \"192.0.2.1\" },\n\
    { region = \"eu\", address = \"192.0.2.2\" },\n\
    { region = \"us\", address = \"192.0.2.11\" },\n\
    { region = \"ap\", address = \"192.0.2.21\" },\n]\n\
    [pool.api]\nendpoints = [{ region = \"eu\", address = \"192.0.2.1\" },\n\
    { region = \"us\", address = \"192.0.2.12\" },\n]\n";

/// A fleet that is well, with two services.
fn publisher(fleet: &str) -> Publisher {
    let folder = tempfile::tempdir().unwrap();
    let services = "version = 1\n[service.www]\npool = \"web\"\n[service.api]\npool = \"api\"\n";
    let zone = "$TTL 60\n@ IN SOA ns1 root 1 1h 1h 1w 60\n@ NS ns1\nns1 A 192.0.2.9\n";
    let zone = ("zones/x.test.zone", zone);
    let services = ("zones/x.test.toml", services);
    write(folder.path(), &[NODE, ("config/fleet.toml", fleet), zone, services]);
    let loaded = load(&folder.path().join("config"), None).unwrap();
    let health = HealthTable::new(&loaded.model.fleet, clock::now());
    Publisher::new(loaded, health)
}

fn intent(fail: &[&str], services: &[&str]) -> Intent {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Intent {
        name: "a drill".to_owned(),
        fail: owned(fail),
        services: owned(services),
        ..Intent::default()
    }
}

fn draft(target: &str, drill: Option<&str>) -> Draft {
    Draft {
        action: Action::Down,
        target: target.parse().unwrap(),
        reason: "x".to_owned(),
        author: "bob".to_owned(),
        lasts: Some(Duration::from_secs(60)),
        scope: Scope::Fleet,
        anyway: true,
        drill: drill.map(str::to_owned),
    }
}

/// What is found while these overrides are in force.
fn judged(intent: &Intent, overrides: &[Draft], burdens: Option<&[Burden]>) -> Preflight {
    judged_in(FLEET, intent, overrides, burdens)
}

/// The same in this fleet.
fn judged_in(
    fleet: &str,
    intent: &Intent,
    overrides: &[Draft],
    burdens: Option<&[Burden]>,
) -> Preflight {
    let mut publisher = publisher(fleet);
    let mut set = OverrideSet::default();
    for (at, draft) in overrides.iter().enumerate() {
        set.set(draft.clone(), format!("id{at}"), Tick::START, 0).unwrap();
    }
    publisher.apply(Event::Overrides(Arc::new(set.clone())), Tick::START);
    publisher.publish();
    let snapshot = publisher.shared().load_full();
    let state = snapshot.state.as_ref().unwrap();
    preflight(intent, &World { state, overrides: &set, burdens, now: Tick::START })
}

#[test]
fn a_fleet_that_is_well_may_lose_a_region() {
    let found = judged(&intent(&["region:eu"], &["www.x.test"]), &[], None);
    assert_eq!(found.refusals, []);
    let lost: Vec<String> = found.lost.iter().map(ToString::to_string).collect();
    assert_eq!(lost, ["192.0.2.1", "192.0.2.2"]);
    let survivors: Vec<&str> = found.survivors.iter().map(|s| s.region.as_str()).collect();
    assert_eq!(survivors, ["ap", "us"]);
    assert!(found.notes[0].contains("no load is measured"));
    // An address that another pool answers too is not lost.
    let found = judged(&intent(&["pool:web@eu"], &["www.x.test", "api.x.test"]), &[], None);
    let lost: Vec<String> = found.lost.iter().map(ToString::to_string).collect();
    assert_eq!(lost, ["192.0.2.2"]);
}

#[test]
fn what_must_not_run_is_refused_with_the_reason_and_the_place() {
    let www = &["www.x.test"][..];
    let cases: [(&str, Intent, &[Draft], &str, &str); 10] = [
        (
            "an unknown region",
            intent(&["region:us", "region:eux"], www),
            &[],
            "fail[1]",
            "no region `eux`",
        ),
        ("no target", intent(&["eu"], www), &[], "fail[0]", "`eu` is not a target"),
        ("nothing", intent(&[], www), &[], "fail", "nothing is to fail"),
        (
            "an unknown service",
            intent(&["region:eu"], &["ww.x.test"]),
            &[],
            "services[0]",
            "no service `ww.x.test`",
        ),
        ("no service", intent(&["region:eu"], &[]), &[], "services", "no service is named"),
        (
            "an unknown region to watch",
            Intent { guarded: vec!["region:su".to_owned()], ..intent(&["region:eu"], www) },
            &[],
            "down[0]",
            "no region `su`",
        ),
        (
            "a second drill",
            intent(&["region:eu"], www),
            &[draft("region:ap", Some("other"))],
            "",
            "the drill `other` of bob is under way",
        ),
        (
            "a fleet that is not well",
            intent(&["region:eu"], www),
            &[draft("region:ap", None)],
            "",
            "the fleet is not healthy: 192.0.2.21 in ap is down",
        ),
        (
            "the last region",
            intent(&["region:eu", "region:us"], &["api.x.test"]),
            &[],
            "fail",
            "`api.x.test.` would lose eu, us and be left with 0 regions",
        ),
        (
            "what the service is not answered from",
            intent(&["region:ap"], &["api.x.test"]),
            &[],
            "fail",
            "nothing that is to fail is behind these services",
        ),
    ];
    for (case, intent, overrides, key, what) in cases {
        let found = judged(&intent, overrides, None);
        let told =
            found.refusals.iter().any(|f| f.key == key && f.what == what && !f.hint.is_empty());
        assert!(told, "{case}: {:#?}", found.refusals);
    }
}

#[test]
fn the_rules_of_safety_hold_for_drills() {
    let eu = intent(&["region:eu"], &["www.x.test"]);
    let six = FLEET.replace("192.0.2.2\"", "2001:db8::2\"");
    for (case, fleet, what) in [
        (
            "capacity",
            format!("{FLEET}[safety]\nmin_capacity = 0.6\n"),
            "`www.x.test.` would be left with 50 % of its capacity",
        ),
        (
            "regions",
            format!("{FLEET}[safety]\nmin_regions = 3\n"),
            "`www.x.test.` would lose eu and be left with 2 regions",
        ),
        ("a family", six.clone(), "`www.x.test.` would lose its last AAAA record"),
        ("all of them", format!("{six}[safety]\nlast_record = \"allow\"\n"), ""),
    ] {
        let found = judged_in(&fleet, &eu, &[], None);
        let told = found.refusals.iter().find(|finding| finding.what == what);
        assert_eq!(told.is_some(), !what.is_empty(), "{case}: {:#?}", found.refusals);
        assert!(told.is_none_or(|f| f.key == "fail" && f.hint.contains("[safety]")), "{case}");
        assert_eq!(found.refusals.is_empty(), what.is_empty(), "{case}");
    }
}

#[test]
fn survivors_over_their_capacity_are_refused() {
    let burden = |region: u16, load: f64, capacity: f64| Burden {
        // Pools and regions are numbered by name: api, web; ap, eu, us.
        pool: PoolId(1),
        region: RegionId(region),
        load,
        capacity,
    };
    let eu = intent(&["region:eu"], &["www.x.test"]);
    let half = intent(&["endpoint:192.0.2.2"], &["www.x.test"]);
    for (case, intent, burdens, refused, us) in [
        (
            "room for all",
            &eu,
            [burden(0, 100.0, 1_000.0), burden(1, 600.0, 1_000.0), burden(2, 100.0, 1_000.0)],
            0,
            0.4,
        ),
        (
            "no room",
            &eu,
            [burden(0, 900.0, 1_000.0), burden(1, 600.0, 1_000.0), burden(2, 900.0, 1_000.0)],
            2,
            1.2,
        ),
        (
            "a small region is given little",
            &eu,
            [burden(0, 0.0, 100.0), burden(1, 600.0, 1_000.0), burden(2, 0.0, 900.0)],
            0,
            0.6,
        ),
        (
            "half of a region",
            &half,
            [burden(0, 0.0, 1_000.0), burden(1, 500.0, 1_000.0), burden(2, 0.0, 1_000.0)],
            0,
            0.1,
        ),
    ] {
        let found = judged(intent, &[], Some(&burdens));
        assert_eq!(found.refusals.len(), refused, "{case}: {:#?}", found.refusals);
        let survivor = found.survivors.iter().find(|s| s.region == "us").unwrap();
        assert!((survivor.load.unwrap() - us).abs() < 1e-9, "{case}: {survivor:?}");
        assert!(found.notes.is_empty(), "{case}");
    }
    let wary = Intent { load_max: Some(0.3), ..eu };
    let burdens = [burden(0, 100.0, 1e3), burden(1, 600.0, 1e3), burden(2, 100.0, 1e3)];
    let found = judged(&wary, &[], Some(&burdens));
    assert_eq!(
        found.refusals[0].what,
        "`ap` would have 400 requests a second, 40 % of its capacity"
    );
}
