//! A node explains what it answers as the files do.

use serde_json::Value;

use crate::support::meridian::command;
use crate::{run, site};

#[test]
fn a_node_explains_exactly_what_the_files_say() {
    let site = site();
    let _meridian = site.serve();
    let node = format!("http://{}", site.admin);
    let config = site.path("config").display().to_string();
    let mut asked: Vec<Vec<&str>> = Vec::new();
    for rtype in ["A", "AAAA"] {
        for client in ["141.20.0.1", "2001:db8::1"] {
            for more in [&[][..], &["--resolver", "8.8.8.8"], &["--down", "eu"]] {
                asked.push([&["www.force.test", rtype, "--client", client], more].concat());
            }
        }
    }
    for name in ["ns1.force.test", "none.force.test", "www.elsewhere.test"] {
        asked.push(vec![name, "--client", "73.0.0.1"]);
    }
    for (own, format) in asked.iter().zip(["text", "json"].into_iter().cycle()) {
        let both = [["--config", &config], ["--node", &node]].map(|place| {
            let mut own_command = command();
            own_command.arg("explain").args(own).args(["--format", format]).args(place);
            let output = own_command.output().unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        });
        assert_eq!(both[0], both[1], "{own:?}");
    }
}

#[test]
fn a_node_explains_overrides_and_refuses_what_it_cannot_read() {
    let site = site();
    let _meridian = site.serve();
    let node = format!("http://{}", site.admin);
    let asked = ["explain", "www.force.test", "--client", "141.20.0.1", "--node", &node];
    run(&["force", "down", "region:eu", "--for", "1h", "--reason", "x", "--node", &node], 0);
    let (out, _) = run(&asked, 0);
    assert!(out.contains("192.0.2.1: down (forced down by alice, until 2"), "{out}");
    let (json, _) = run(&[&asked[..], &["--format", "json"]].concat(), 0);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["answers"][0]["data"], "192.0.2.11", "{json}");
    let (_, err) = run(&[&asked[..], &["--down", "ue"]].concat(), 2);
    assert!(err.contains("no region `ue` (did you mean `eu`?)"), "{err}");
    for (query, told) in [
        ("", "`name` is missing"),
        ("name=x.test", "`client` is missing"),
        ("name=x.test&client=here", "`client` is not an address: `here`"),
        ("name=x..test&client=192.0.2.1", "is not a name"),
        ("name=x.test&client=192.0.2.1&type=TXT", "type `TXT` cannot be explained"),
        ("name=x.test&client=192.0.2.1&why=1", "unknown key `why`"),
    ] {
        let path = format!("/api/v1/explain?{query}");
        let (status, body) = crate::support::meridian::http_get(site.admin, &path).unwrap();
        assert_eq!(status, 400, "{query}");
        assert!(body.contains(told), "{query}: {body}");
    }
}
