//! Overrides as operators set them, over the fleets of small configurations.

use std::time::Duration;

use super::*;
use crate::clock::Tick;
use crate::config;
use crate::health::Level;
use crate::model::{Address, EndpointId, LastRecord, Model, PoolId, RegionId};
use crate::written::{NODE, write};

const FLEET: &str = "version = 1\n\
    [safety]\nmin_regions = MIN\nlast_record = \"allow\"\n\
    [region.eu-1]\nlocation = \"DE\"\n[region.eu-2]\nlocation = \"FR\"\n\
    [region.us]\nlocation = \"US\"\n\
    [pool.web]\nendpoints = [\n\
    { region = \"eu-1\", address = \"192.0.2.1\" },\n\
    { region = \"eu-1\", address = \"192.0.2.2\" },\n\
    { region = \"eu-2\", address = \"192.0.2.11\" },\n\
    { region = \"us\", address = \"2001:db8::1\" },\n]\n\
    [pool.api]\nendpoints = [\n\
    { region = \"eu-1\", address = \"192.0.2.1\" },\n\
    { region = \"us\", address = \"lb.example.net\" },\n]\n";

/// Two services over both pools, one over the second alone.
fn model(min_regions: u16) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let services = "version = 1\n[service.www]\npool = \"web\"\ndirect = \"_region\"\n\
                    [service.api]\npool = \"api\"\n";
    let files = [
        NODE,
        ("config/fleet.toml", &FLEET.replace("MIN", &min_regions.to_string())),
        ("zones/x.test.zone", ""),
        ("zones/x.test.toml", services),
    ];
    write(folder.path(), &files);
    let loaded = config::load(&folder.path().join("config"));
    loaded.model.unwrap_or_else(|| panic!("{}", loaded.diagnostics))
}

fn draft(action: Action, target: &str) -> Draft {
    Draft {
        action,
        target: target.parse().unwrap(),
        reason: "a test".to_owned(),
        author: "alice".to_owned(),
        lasts: Some(Duration::from_secs(60)),
        scope: Scope::Fleet,
        anyway: false,
        drill: None,
    }
}

const NOW: Tick = Tick::START;

/// A set of these, each a second later than the one before.
fn set_of(drafts: impl IntoIterator<Item = Draft>) -> OverrideSet {
    let mut set = OverrideSet::default();
    for (at, draft) in (0..).zip(drafts) {
        set.set(draft, format!("id-{at}"), NOW, 1_000 + at).unwrap();
    }
    set
}

/// The actions in force, one character an endpoint.
fn in_force(set: &OverrideSet, model: &Model) -> String {
    let forced = resolve(set.overrides(), &model.fleet);
    let letter = |forced: &Option<crate::health::Forced>| match forced.as_ref().map(|f| f.action) {
        None => '.',
        Some(Action::Up) => 'U',
        Some(Action::Down) => 'D',
        Some(Action::Drain) => 'R',
    };
    forced.iter().map(letter).collect()
}

#[test]
fn the_most_specific_target_decides_then_the_newest() {
    use Action::{Down, Drain, Up};
    let model = model(1);
    // api: eu-1, us; web: two in eu-1, eu-2, us. Pools are in the order of their names.
    let local = |action, target| Draft { scope: Scope::Node, ..draft(action, target) };
    for (case, drafts, expected) in [
        ("none", vec![], "......"),
        ("a region", vec![draft(Down, "region:eu-1")], "D.DD.."),
        ("regions by pattern", vec![draft(Drain, "region:eu-*")], "R.RRR."),
        ("a pool", vec![draft(Up, "pool:api")], "UU...."),
        ("a pool in regions", vec![draft(Down, "pool:web@eu-*")], "..DDD."),
        ("an address in two pools", vec![draft(Down, "endpoint:192.0.2.1")], "D.D..."),
        ("addresses by pattern", vec![draft(Down, "endpoint:192.0.2.*")], "D.DDD."),
        ("an IPv6 address in another form", vec![draft(Down, "endpoint:2001:DB8:0::1")], ".....D"),
        ("a hostname with its dot", vec![draft(Down, "endpoint:LB.example.net.")], ".D...."),
        (
            "a pool before a region",
            vec![draft(Down, "pool:api"), draft(Up, "region:eu-1")],
            "DDUU..",
        ),
        (
            "a pool in a region before a pool",
            vec![draft(Up, "pool:web@us"), draft(Down, "pool:web")],
            "..DDDU",
        ),
        (
            "an endpoint before all",
            vec![draft(Up, "endpoint:192.0.2.11"), draft(Down, "pool:web@*")],
            "..DDUD",
        ),
        (
            "the newer of two regions",
            vec![draft(Up, "region:eu-1"), draft(Down, "region:eu-*")],
            "D.DDD.",
        ),
        (
            "the same target again",
            vec![draft(Up, "region:us"), draft(Drain, "region:us")],
            ".R...R",
        ),
        (
            "one of this node before those of the fleet",
            vec![local(Up, "region:eu-1"), draft(Down, "endpoint:192.0.2.1")],
            "U.UU..",
        ),
    ] {
        assert_eq!(in_force(&set_of(drafts.clone()), &model), expected, "{case}");
        let mut backwards: Vec<Override> = set_of(drafts).overrides().cloned().collect();
        backwards.reverse();
        let again = resolve(&backwards, &model.fleet);
        assert_eq!(again, resolve(backwards.iter().rev(), &model.fleet), "{case}: in any order");
    }
}

/// Levels by endpoint.
type Health<'a> = &'a dyn Fn(EndpointId) -> Level;
/// Services, the regions that they keep, and those they lose.
type Told<'a> = &'a [(&'a str, usize, &'a [&'a str])];

#[test]
fn a_service_keeps_its_minimum_of_regions() {
    use Action::{Down, Drain, Up};
    let all_up = |_: EndpointId| Level::Up;
    let us_down = |id: EndpointId| if [1, 5].contains(&id.0) { Level::Down } else { Level::Up };
    let unknown = |_: EndpointId| Level::Unknown;
    let cases: [(&str, u16, Health<'_>, Draft, Told<'_>); 10] = [
        ("one of three", 1, &all_up, draft(Down, "region:us"), &[]),
        (
            "one of two, where two must be left",
            2,
            &all_up,
            draft(Drain, "region:us"),
            &[("api.x.test.", 1, &["us"])],
        ),
        (
            "all",
            1,
            &all_up,
            draft(Down, "region:*"),
            &[("api.x.test.", 0, &["eu-1", "us"]), ("www.x.test.", 0, &["eu-1", "eu-2", "us"])],
        ),
        (
            "the last that is up",
            1,
            &us_down,
            draft(Down, "region:eu-1"),
            &[("api.x.test.", 0, &["eu-1"])],
        ),
        ("what is down already", 1, &us_down, draft(Down, "region:us"), &[]),
        ("one of two endpoints in a region", 3, &all_up, draft(Down, "endpoint:192.0.2.2"), &[]),
        ("what nobody has judged yet counts", 1, &unknown, draft(Down, "region:us"), &[]),
        (
            "and can be lost",
            1,
            &unknown,
            draft(Down, "pool:api"),
            &[("api.x.test.", 0, &["eu-1", "us"])],
        ),
        ("up takes nothing", 3, &us_down, draft(Up, "region:us"), &[]),
        ("no minimum", 0, &all_up, draft(Down, "region:*"), &[]),
    ];
    for (case, least, health, draft, expected) in cases {
        let model = model(least);
        let forced = resolve(set_of([draft]).overrides(), &model.fleet);
        let found = losses(&model, health, &forced);
        let found: Vec<(&str, usize, Vec<&str>)> = found
            .iter()
            .map(|loss| {
                let regions = loss.regions.iter().map(String::as_str).collect();
                (loss.service.as_str(), loss.left, regions)
            })
            .collect();
        let expected: Vec<_> = expected.iter().map(|(s, n, r)| (*s, *n, r.to_vec())).collect();
        assert_eq!(found, expected, "{case}");
    }
}

/// What losses are told of, in words.
fn told(losses: &[Loss]) -> Vec<String> {
    losses.iter().map(|loss| format!("{}: {loss}", loss.rule.key())).collect()
}

/// Its name, the least share of the capacity, capacities by region, health, what is wanted, and the
/// services that would lose too much.
type Case<'a> = (&'a str, f64, &'a [(u16, u32)], Health<'a>, Draft, &'a [&'a str]);

#[test]
fn a_service_keeps_its_capacity_and_its_last_records() {
    use Action::{Down, Drain};
    let mut model = model(0);
    model.fleet.safety.last_record = LastRecord::Refuse;
    let thin = |id: EndpointId| if [2, 4].contains(&id.0) { Level::Down } else { Level::Up };
    let all_up = |_: EndpointId| Level::Up;
    // api: eu-1 and a hostname in us; web: 150 of a weight of 350 in eu-1, the rest in eu-2 and us.
    model.fleet.endpoints[3].weight = 50;
    let web = |capacity: &[(u16, u32)]| -> Vec<(RegionId, u32)> {
        capacity.iter().map(|(region, capacity)| (RegionId(*region), *capacity)).collect()
    };
    let cases: [Case<'_>; 8] = [
        ("what is left is enough", 0.6, &[], &all_up, draft(Down, "pool:web@eu-2"), &[]),
        (
            "by weight too little is left",
            0.6,
            &[],
            &all_up,
            draft(Drain, "pool:web@eu-1"),
            &["min_capacity: `www.x.test.` would be left with 57 % of its capacity"],
        ),
        (
            "by requests it is enough",
            0.6,
            &[(0, 100), (1, 100), (2, 100)],
            &all_up,
            draft(Drain, "pool:web@eu-1"),
            &[],
        ),
        (
            "a part of a region is a part of its capacity",
            0.6,
            &[(0, 300), (1, 10), (2, 10)],
            &all_up,
            draft(Down, "endpoint:192.0.2.1"),
            &[
                "min_capacity: `api.x.test.` would be left with 50 % of its capacity",
                "min_capacity: `www.x.test.` would be left with 37 % of its capacity",
            ],
        ),
        ("what was lost before is no act", 0.6, &[], &thin, draft(Down, "pool:web@eu-2"), &[]),
        (
            "the last of a family",
            0.0,
            &[],
            &all_up,
            draft(Down, "pool:web@us"),
            &["last_record: `www.x.test.` would lose its last AAAA record"],
        ),
        ("a hostname may have both", 0.0, &[], &all_up, draft(Down, "pool:api@eu-1"), &[]),
        (
            "everything, where no region need be left",
            0.0,
            &[],
            &all_up,
            draft(Down, "pool:api"),
            &[
                "last_record: `api.x.test.` would lose its last A record",
                "last_record: `api.x.test.` would lose its last CNAME record",
            ],
        ),
    ];
    for (case, least, capacity, health, draft, expected) in cases {
        model.fleet.safety.min_capacity = least;
        model.fleet.pools[1].capacity = web(capacity);
        let forced = resolve(set_of([draft]).overrides(), &model.fleet);
        assert_eq!(told(&losses(&model, health, &forced)), expected, "{case}");
    }
}

#[test]
fn a_reload_takes_no_more_than_an_override_may() {
    let served = model(2);
    let level = |id: EndpointId| if id.0 == 0 { Level::Down } else { Level::Up };
    let judged = |next: &Model, drafts: &[Draft]| {
        let forced = resolve(set_of(drafts.to_vec()).overrides(), &next.fleet);
        told(&losses_of_reload(&served, level, next, &forced))
    };
    assert_eq!(judged(&served, &[]), [""; 0], "nothing changes");
    // The same weights and capacities in another unit are no loss.
    let mut next = model(2);
    next.fleet.safety.min_capacity = 0.9;
    next.fleet.endpoints.iter_mut().for_each(|endpoint| endpoint.weight = 1);
    assert_eq!(judged(&next, &[]), [""; 0]);
    // An endpoint that moves to another address is new, and counts.
    next.fleet.endpoints[4].weight = 100;
    next.fleet.endpoints[4].address = Address::Ip("192.0.2.99".parse().unwrap());
    assert_eq!(judged(&next, &[]), [""; 0]);
    // Overrides hold for new endpoints, too.
    let lost = judged(&next, &[draft(Action::Down, "region:eu-*")]);
    assert_eq!(
        lost,
        [
            "min_regions: `www.x.test.` would lose eu-1, eu-2 and be left with 1 regions",
            "min_capacity: `www.x.test.` would be left with 25 % of its capacity",
        ],
        "the other service had one region before"
    );
    // A service with pools that are gone, or that is new or gone itself.
    let mut next = model(2);
    let services = &mut next.zones[0].services;
    services.retain(|service| service.only.is_none());
    for service in services.iter_mut() {
        service.pools = vec![PoolId(0)];
    }
    let lost = judged(&next, &[]);
    assert_eq!(
        lost,
        ["min_regions: `www.x.test.` would lose eu-1, eu-2 and be left with 1 regions"]
    );
    next.fleet.safety.min_regions = 1;
    assert_eq!(judged(&next, &[]), [""; 0], "the new rule decides");
    next.fleet.safety.min_regions = 2;
    next.zones.clear();
    assert_eq!(judged(&next, &[]), [""; 0], "no service, no loss");
}

#[test]
fn what_depends_on_a_target_is_lost_with_it() {
    let mut model = model(3);
    model.fleet.endpoints[5].depends_on = vec![PoolId(0)];
    let lost = |drafts: &[Draft]| -> Vec<(String, usize)> {
        let forced = resolve(set_of(drafts.to_vec()).overrides(), &model.fleet);
        let found = losses(&model, |_| Level::Up, &forced);
        found.into_iter().map(|loss| (loss.service, loss.left)).collect()
    };
    let (api, www) = (("api.x.test.".to_owned(), 0), ("www.x.test.".to_owned(), 2));
    assert_eq!(lost(&[draft(Action::Drain, "pool:api")]), [api.clone(), www]);
    let kept = draft(Action::Up, "endpoint:2001:db8::1");
    assert_eq!(lost(&[draft(Action::Down, "pool:api"), kept]), [api], "forced up, it stays");
}

#[test]
fn a_draft_says_what_it_lacks() {
    let good = draft(Action::Down, "pool:web");
    assert_eq!(good.check(), Ok(()));
    let day = Duration::from_secs(86_400);
    for (what, draft) in [
        ("`reason` is missing", Draft { reason: " ".into(), ..good.clone() }),
        ("`author` is missing", Draft { author: String::new(), ..good.clone() }),
        ("`reason` is not one line", Draft { reason: "a\nb".into(), ..good.clone() }),
        ("not in the future", Draft { lasts: Some(Duration::ZERO), ..good.clone() }),
        ("more than a year", Draft { lasts: Some(day * 400), ..good.clone() }),
        ("has an end", Draft { drill: Some("x".into()), lasts: None, ..good.clone() }),
        ("24 hours at most", Draft { scope: Scope::Node, lasts: None, ..good.clone() }),
        ("24 hours at most", Draft { scope: Scope::Node, lasts: Some(day * 2), ..good.clone() }),
    ] {
        let mistake = draft.check().unwrap_err();
        assert!(mistake.what.contains(what), "{what}: {mistake:?}");
    }
}

#[test]
fn an_unknown_target_suggests_what_may_be_meant() {
    let model = model(1);
    for (target, what, hint) in [
        ("region:eu-11", "no region `eu-11`", "did you mean `eu-1`?"),
        ("pool:wep", "no pool `wep`", "did you mean `web`?"),
        ("pool:web@uss", "no region `uss`", "did you mean `us`?"),
        ("pool:x@us", "no pool `x`", "known pools: api, web"),
        ("pool:api@eu-2", "`pool:api@eu-2` has no endpoints", "there is nothing to force"),
        ("endpoint:192.0.2.3", "no endpoint `192.0.2.3`", "did you mean `192.0.2.1`?"),
    ] {
        let error = target.parse::<Target>().unwrap().endpoints(&model.fleet).unwrap_err();
        assert_eq!((error.what.as_str(), error.hint.as_str()), (what, hint), "{target}");
    }
}

#[test]
fn overrides_end_by_the_monotonic_clock_whatever_the_wall_clock_does() {
    let mut set = set_of([
        draft(Action::Down, "region:us"),
        Draft { lasts: None, ..draft(Action::Drain, "pool:web") },
    ]);
    let end = set.next_end().unwrap();
    assert_eq!(end, NOW + Duration::from_secs(60));
    assert_eq!(set.expire(NOW + Duration::from_secs(59)), []);
    assert_eq!(set.revision(), 2);
    let ended = set.expire(end);
    assert_eq!(ended.len(), 1);
    assert_eq!((set.revision(), set.next_end()), (3, None));
    assert!(ended[0].words().ends_with("by alice, until 1970-01-01 00:17:40 UTC: a test"));
}

#[test]
fn a_restart_takes_off_the_time_that_has_passed() {
    let set = set_of([
        draft(Action::Down, "region:us"),
        Draft { lasts: None, ..draft(Action::Drain, "pool:web") },
        Draft { scope: Scope::Node, ..draft(Action::Up, "pool:api") },
    ]);
    let saved_at = NOW + Duration::from_secs(10);
    let again = Tick(7);
    // Seconds by the wall clock between saving and the start, and what is left of sixty.
    for (passed, left) in [(0, Some(50)), (20, Some(30)), (-86_400, Some(50)), (50, None)] {
        let saved = SavedOverrides::of(&set, saved_at, 100_000);
        let saved = SavedOverrides::from_json(&saved.to_json().unwrap()).unwrap();
        let unix_now = (100_000_i64 + passed) as u64;
        let restored = saved.restore(again, unix_now);
        let expected = left.map(|left| again + Duration::from_secs(left));
        assert_eq!(restored.next_end(), expected, "{passed}");
        assert_eq!(restored.entries().len(), if left.is_some() { 3 } else { 1 }, "{passed}");
        let first = &restored.entries()[0].what;
        assert_eq!(first.until, left.map(|left| unix_now + left), "{passed}");
    }
    for damaged in ["", "{}", "{\"version\":2,\"saved_at\":1,\"revision\":1,\"overrides\":[]}"] {
        assert!(SavedOverrides::from_json(damaged.as_bytes()).is_err(), "{damaged}");
    }
}

#[test]
fn the_fleets_overrides_are_merged_by_revision_and_those_of_the_node_stay() {
    let fleet: Vec<Override> = set_of([
        draft(Action::Down, "region:us"),
        Draft { lasts: None, ..draft(Action::Drain, "pool:web") },
    ])
    .overrides()
    .cloned()
    .collect();
    let mut set = set_of([
        Draft { scope: Scope::Node, ..draft(Action::Up, "pool:api") },
        draft(Action::Up, "pool:web"),
    ]);
    assert!(set.merge(fleet.clone(), NOW, 1_030));
    let targets = |set: &OverrideSet| -> Vec<String> {
        set.overrides().map(|one| one.target.to_string()).collect()
    };
    assert_eq!(targets(&set), ["pool:api", "region:us", "pool:web"]);
    assert_eq!(set.entries()[1].left(NOW), Some(Duration::from_secs(30)));
    assert!(!set.merge(fleet.clone(), NOW + Duration::from_secs(9), 99_000), "nothing new");
    assert_eq!(set.entries()[1].left(NOW), Some(Duration::from_secs(30)), "ends stay");
    assert!(set.merge(Vec::new(), NOW, 1_030));
    assert_eq!(targets(&set), ["pool:api"]);
    // A node whose clock is a year behind keeps it no longer than was meant.
    let mut behind = OverrideSet::default();
    behind.merge(fleet, NOW, 0);
    assert_eq!(behind.entries()[0].left(NOW), Some(Duration::from_secs(60)));
}

#[test]
fn a_full_set_refuses_new_targets_and_takes_known_ones() {
    let mut set = OverrideSet::default();
    for at in 0..FLEET_MAX {
        let draft = draft(Action::Down, &format!("endpoint:h{at}.test"));
        set.set(draft, at.to_string(), NOW, 0).unwrap();
    }
    let more = draft(Action::Down, "pool:web");
    assert!(set.set(more.clone(), "more".into(), NOW, 0).is_err());
    assert!(set.set(Draft { scope: Scope::Node, ..more }, "own".into(), NOW, 0).is_ok());
    assert!(set.set(draft(Action::Up, "endpoint:h1.test"), "x".into(), NOW, 0).is_ok());
    assert_eq!(set.clear("endpoint:h1.test").len(), 1);
    assert_eq!(set.clear("2").len(), 1);
    assert_eq!(set.clear("2").len(), 0);
}

#[test]
fn a_damaged_file_is_named_and_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let store = OverrideStore::new(folder.path());
    assert!(store.load().unwrap().is_none());
    let saved = SavedOverrides::of(&set_of([draft(Action::Up, "pool:web")]), NOW, 5);
    store.save(&saved).unwrap();
    assert_eq!(store.load().unwrap(), Some(saved));
    std::fs::write(store.path(), "{\"version\":1,").unwrap();
    assert!(store.load().unwrap_err().to_string().contains("is damaged: EOF"));
    let aside = store.set_aside().unwrap();
    assert!(aside.ends_with("overrides.json.damaged") && aside.is_file());
    assert!(store.load().unwrap().is_none());
}
