//! Where clients are said to be sent is where they are sent.

use std::collections::BTreeMap;
use std::net::IpAddr;

use meridian::zone::rtype::A;
use serde_json::Value;

use crate::fleet::{Fleet, NAME};
use crate::support::meridian::http_get;
use crate::support::wait_for;
use crate::support::wire::Ask;

/// A client network of each of these countries.
const CLIENTS: [(&str, &str); 5] = [
    ("DE", "141.20.0.0"),
    ("FR", "90.0.0.0"),
    ("US", "73.0.0.0"),
    ("JP", "133.1.0.0"),
    ("AU", "1.128.0.0"),
];

fn flows(fleet: &Fleet, query: &str) -> (u16, Value) {
    let path = format!("/api/v1/flows{query}");
    let (status, body) = http_get(fleet.site.admin, &path).unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

/// By country: the region that has most of its clients.
fn homes(flows: &Value) -> BTreeMap<String, String> {
    let country = |one: &Value| {
        let parts = one["to"].as_array().unwrap().iter();
        let most = parts
            .max_by(|a, b| a["share"].as_f64().unwrap().total_cmp(&b["share"].as_f64().unwrap()));
        let most = most.unwrap()["region"].as_str().unwrap().to_owned();
        (one["country"].as_str().unwrap().to_owned(), most)
    };
    flows["clients"].as_array().unwrap().iter().map(country).collect()
}

/// The region of the endpoint that a client of this network is answered with.
fn answered(fleet: &Fleet, network: &str) -> &'static str {
    let ask = Ask::new(NAME, A).with_subnet(network.parse().unwrap(), 24);
    let [IpAddr::V4(address)] = fleet.node.client().ask(&ask).addresses()[..] else {
        panic!("one address")
    };
    match address.octets()[3] {
        11 | 12 => "eu",
        21 => "us",
        31 => "ap",
        other => panic!("{other}"),
    }
}

#[test]
fn flows_agree_with_the_answers() {
    let mut fleet = Fleet::start();
    let (status, told) = flows(&fleet, "?service=www.app.test");
    assert_eq!((status, told["moved"].as_f64()), (200, Some(0.0)), "{told:#}");
    assert_eq!(told["services"], serde_json::json!(["www.app.test.", "spread.app.test."]));
    let shares =
        told["clients"].as_array().unwrap().iter().map(|one| one["share"].as_f64().unwrap());
    let sum: f64 = shares.sum();
    assert!((0.99..1.01).contains(&sum), "{sum}");
    for (country, network) in CLIENTS {
        assert_eq!(homes(&told)[country], answered(&fleet, network), "{country}");
    }
    let all: f64 =
        told["regions"].as_array().unwrap().iter().map(|one| one["share"].as_f64().unwrap()).sum();
    assert!((all - 1.0).abs() < 0.001, "{all}");

    fleet.endpoints[3].stop();
    let told = wait_for("ap to be down", || {
        let (_, told) = flows(&fleet, "?service=www.app.test");
        (told["moved"].as_f64().unwrap() > 0.0).then_some(told)
    });
    let ap = told["regions"].as_array().unwrap().iter().find(|one| one["region"] == "ap").unwrap();
    assert_eq!((ap["share"].as_f64(), ap["usual"].as_f64()), (Some(0.0), told["moved"].as_f64()));
    for (country, network) in CLIENTS {
        assert_eq!(homes(&told)[country], answered(&fleet, network), "{country}");
    }
    // Nobody has an IPv6 address.
    let (_, told) = flows(&fleet, "?service=www.app.test&type=AAAA");
    assert_eq!(told["unanswered"].as_f64(), Some(1.0), "{told:#}");
}

#[test]
fn what_cannot_be_asked_is_refused_with_what_can() {
    let fleet = Fleet::start();
    for (query, status, told) in [
        ("?service=ww.app.test", 404, "did you mean `www.app.test.`?"),
        ("?service=", 404, "no service `` is served"),
        ("?type=TXT", 400, "clients have no addresses of type `TXT`"),
        ("?client=192.0.2.1", 400, "unknown key `client`"),
    ] {
        let (found, problem) = flows(&fleet, query);
        assert_eq!(found, status, "{query}");
        assert!(problem.to_string().contains(told), "{query}: {problem}");
    }
    assert_eq!(flows(&fleet, "").0, 200);
}
