//! Differences of small configurations, held to files: `UPDATE_GOLDEN=1` rewrites them.

use super::*;
use crate::cli::golden::hold;
use crate::snapshot::load;
use crate::written::write;

const NODE: &str = "version = 1\n[node]\nname = \"t\"\nregion = \"eu\"\n\
    [dns]\nlisten = [\"127.0.0.1:5300\"]\n[probe]\n";

const FLEET: &str = r#"version = 1
[region.ap]
location = "aws:ap-southeast-1"
[region.eu]
location = "aws:eu-central-1"
[region.us]
location = "aws:us-east-1"
[pool.web]
capacity = { ap = 600, eu = 400, us = 400 }
endpoints = [
  { region = "ap", address = "192.0.2.1" },
  { region = "eu", address = "192.0.2.2" },
  { region = "us", address = "192.0.2.3" },
]
[pool.api]
endpoints = [
  { region = "eu", address = "lb.example.net" },
  { region = "us", address = "lb2.example.net" },
]
"#;

const ZONE: &str = "$TTL 300\n@ IN SOA ns1 root 1 3600 600 604800 60\n@ IN NS ns1\n\
    ns1 IN A 192.0.2.53\nmail IN MX 10 ns1\n";

const SERVICES: &str = r#"version = 1
[service.www]
pool = "web"
policy = ["proximity"]
[service.api]
pool = "api"
policy = ["proximity"]
"#;

/// A configuration with these words in the place of those.
fn configuration(changes: &[(&str, &str)]) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("config/node.toml", NODE),
        ("config/fleet.toml", FLEET),
        ("zones/x.test.zone", ZONE),
        ("zones/x.test.toml", SERVICES),
    ] {
        let mut text = text.to_owned();
        for (from, to) in changes {
            text = text.replace(from, to);
        }
        write(folder.path(), &[(path, &text)]);
    }
    load(&folder.path().join("config"), None).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn compared(before: &[(&str, &str)], after: &[(&str, &str)]) -> Difference {
    let asking = Asking { population: None, clients: 20_000 };
    let (before, after) = (configuration(before), configuration(after));
    difference(before, after, &asking, Tick(1_000_000)).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// Takes the last region's endpoint out.
const NO_AP: (&str, &str) = ("  { region = \"ap\", address = \"192.0.2.1\" },\n", "");

/// The name of a golden file, and what is changed in both configurations.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)]);

#[test]
fn differences_are_as_they_were() {
    let ap_unrated = ("{ ap = 600, eu", "{ eu");
    let tight = ("ap = 600", "ap = 200");
    let spill = ("policy = [\"proximity\"]", "policy = [\"proximity\", \"spill\"]");
    let biased = "policy = [{ method = \"proximity\", bias = { us = 50 } }]";
    let bias = ("policy = [\"proximity\"]", biased);
    let cases: [Case<'_>; 6] = [
        ("nothing", &[], &[("root 1", "root 2")]),
        ("a_region_goes", &[], &[NO_AP, ap_unrated]),
        ("a_region_comes", &[NO_AP, ap_unrated], &[]),
        ("bias", &[], &[bias]),
        ("spill", &[tight], &[tight, spill]),
        (
            "names_and_records",
            &[],
            &[("service.api", "service.apis"), ("MX 10", "MX 20"), ("192.0.2.2\"", "192.0.2.9\"")],
        ),
    ];
    for (name, before, after) in cases {
        let found = compared(before, after);
        let json = serde_json::to_value(&found).unwrap();
        let json = serde_json::json!({ "gone": json["gone"], "new": json["new"],
            "records": json["records"], "first": json["services"][0]["countries"][0] });
        let found = format!("{found}\n\n{json:#}\n");
        hold("check_diff", name, &found);
    }
}

#[test]
fn the_worst_move_comes_first_and_shares_add_up() {
    let found = compared(&[], &[NO_AP, ("{ ap = 600, eu", "{ eu")]);
    let [www] = found.services.as_slice() else { panic!("{found}") };
    assert_eq!(www.service, "www.x.test.");
    assert!(www.moves.iter().all(|one| one.from.as_deref() == Some("ap")), "{found}");
    let shares: f64 = www.moves.iter().map(|one| one.share).sum();
    assert!((shares - www.changed).abs() < 1e-9 && (www.moved - www.changed).abs() < 1e-9);
    let harms: Vec<f64> = www.moves.iter().map(MoveDifference::harm).collect();
    assert!(harms.is_sorted_by(|a, b| a >= b) && harms[0] > 0.0, "{harms:?}");
    let of_countries: f64 = www.countries.iter().map(|one| one.share * one.changed).sum();
    assert!((of_countries - www.changed).abs() < 1e-9);
    // All is lost where nothing is answered any more, and that is worse than any distance.
    let fenced = "policy = [{ method = \"fence\", by = \"country\", strict = true }]";
    let found = compared(&[], &[("policy = [\"proximity\"]", fenced)]);
    let www = found.services.iter().find(|one| one.service == "www.x.test.").unwrap();
    assert_eq!(www.moves[0].to, None, "{found}");
    assert!(www.countries[0].lost > 0.9, "{found}");
}
