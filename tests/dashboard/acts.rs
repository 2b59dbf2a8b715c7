//! What operators can do with the dashboard: override, end it, ask why.

use serde_json::Value;

use crate::browser::{Browser, DESK};
use crate::fleet::{Fleet, NAME};
use crate::support::meridian::{command, http_get};
use crate::support::wait_for;

/// A reason that would do harm as markup.
const REASON: &str = "<img src=x onerror=alert(1)> & \"work\"";

/// The overrides that the node has.
fn overrides(fleet: &Fleet) -> Vec<Value> {
    let (status, body) = http_get(fleet.site.admin, "/api/v1/overrides").unwrap();
    assert_eq!(status, 200, "{body}");
    let listing: Value = serde_json::from_str(&body).unwrap();
    listing["overrides"].as_array().unwrap().clone()
}

fn shows(region: &str, state: &str) -> String {
    format!("document.querySelector('[data-region={region}]')?.dataset.state === '{state}'")
}

#[test]
fn a_drain_is_set_and_cleared_by_hand() {
    let fleet = Fleet::start();
    let mut browser = Browser::start();
    browser.open(&fleet.url(), DESK);
    browser.wait(&shows("eu", "up"));
    let before = fleet.answer();
    browser.click("#force");
    browser.choose("#set-form [name=action]", "drain");
    browser.fill("#set-form [name=target]", "region:eu");
    browser.press("Tab");
    browser.wait_text("#set-form .ahead", "What remains: ap with 1 endpoint");
    browser.choose("#set-form [name=for]", "600");
    browser.fill("#set-form [name=reason]", REASON);
    browser.press("Enter");
    browser.wait(&shows("eu", "drained"));
    assert_ne!(fleet.answer()[0], before[0], "clients have left");
    browser.wait_text("#overrides", "region:eu is drained");
    browser.wait_text("#overrides", REASON);
    browser.wait_text("#events", "set drain region:eu");
    browser.wait_text("#verdict", "eu: drained");
    let left = browser.text("#overrides .countdown");
    assert!(left.starts_with("09:") || left == "10:00", "{left}");
    browser.wait_text("#verdict", "1 override in force");
    let [set] = &overrides(&fleet)[..] else { panic!("one override") };
    assert_eq!((set["reason"].as_str(), set["author"].as_str()), (Some(REASON), Some("loopback")));
    browser.picture("desk-drained");

    browser.click("#overrides .danger");
    browser.wait_text("#end-form .about", "takes clients again");
    browser.assert_accessible("about to end an override");
    browser.fill("#end-form [name=reason]", "done");
    browser.press("Enter");
    browser.wait(&shows("eu", "up"));
    browser.wait_text("#overrides", "None is in force");
    browser.wait_text("#events", "drain region:eu was cleared");
    assert_eq!(overrides(&fleet), [Value::Null; 0]);
    wait_for("the old answer", || before.contains(&fleet.answer()[0]).then_some(()));
    browser.assert_silent(&[]);
}

#[test]
fn what_takes_too_much_is_refused_and_what_has_changed_is_not_ended_blindly() {
    let fleet = Fleet::start();
    let mut browser = Browser::start();
    browser.open(&fleet.url(), DESK);
    browser.wait(&shows("eu", "up"));
    // Of the whole pool nothing would be left; a mistyped target is nothing.
    browser.click("#force");
    browser.choose("#set-form [name=action]", "down");
    for (target, told) in [("region:xx", "xx"), ("pool:web", "would lose")] {
        browser.fill("#set-form [name=target]", target);
        browser.fill("#set-form [name=reason]", "x");
        browser.press("Enter");
        browser.wait_text("#set-form .problem", told);
    }
    browser.wait("!document.querySelector('#set-form .anyway').hidden");
    browser.press("Escape");
    assert_eq!(overrides(&fleet), [Value::Null; 0]);

    // Somebody else changes the overrides while this one looks at the question.
    let node = format!("http://{}", fleet.site.admin);
    let force = |arguments: &[&str]| {
        let mut command = command();
        command.arg("force").args(arguments).args(["--node", &node]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    force(&["drain", "region:eu", "--for", "1h", "--reason", "first"]);
    browser.wait_text("#overrides", "first");
    browser.click("#overrides .danger");
    browser.wait_text("#end-form .about", "first");
    browser.wait("document.querySelector('#end').open");
    browser.wait("!document.querySelector('#end-form [type=submit]').disabled");
    force(&["up", "region:ap", "--for", "1h", "--reason", "second"]);
    browser.click("#end-form [type=submit]");
    browser.wait_text("#end-form .problem", "the overrides have changed");
    assert_eq!(overrides(&fleet).len(), 2, "nothing was ended");
    browser.press("Escape");
    browser.assert_silent(&["400", "404", "409", "412"]);
}

#[test]
fn an_explanation_is_that_of_the_command() {
    let fleet = Fleet::start();
    let mut browser = Browser::start();
    browser.open(&fleet.url(), DESK);
    browser.wait(&shows("eu", "up"));
    browser.fill("#explain [name=name]", NAME);
    browser.fill("#explain [name=client]", "73.0.0.1");
    browser.press("Enter");
    browser.wait_text("#explained", "NOERROR");
    let told = browser.text("#explained");
    let node = format!("http://{}", fleet.site.admin);
    let mut explain = command();
    explain.args(["explain", NAME, "--client", "73.0.0.1", "--node", &node, "--format", "json"]);
    let report: Value = serde_json::from_slice(&explain.output().unwrap().stdout).unwrap();
    let steps = &report["steering"];
    let answer = report["answers"][0]["data"].as_str().unwrap();
    assert_eq!(answer, fleet.site.address(21).to_string());
    for words in [
        answer,
        steps["located"]["country"].as_str().unwrap(),
        steps["outcome"].as_str().unwrap(),
        steps["pick"].as_str().unwrap(),
        steps["ranking"][0]["method"].as_str().unwrap(),
        "us › eu › ap",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    browser.wait("document.querySelectorAll('.asked .answer').length === 1");
    browser.picture("desk-explained");
    // The same client, were its region down.
    browser.choose("#explain [name=down]", "us");
    browser.click("#explain [type=submit]");
    browser.wait_text("#explained", &fleet.site.address(11).to_string());
    browser.wait_text("#explained .steps", "supposed to be down");
    browser.fill("#explain [name=client]", "nobody");
    browser.press("Enter");
    browser.wait_text("#explained", "`client` is not an address: `nobody`");
    browser.fill("#explain [name=client]", "73.0.0.1");
    browser.fill("#explain [name=name]", "www.elsewhere.test");
    browser.press("Enter");
    browser.wait_text("#explained", "No zone of this node holds the name");
    browser.assert_silent(&["400"]);
}

#[test]
fn the_keyboard_is_enough() {
    let fleet = Fleet::start();
    let mut browser = Browser::start();
    browser.open(&fleet.url(), DESK);
    browser.wait(&shows("eu", "up"));
    browser.press("Tab");
    browser.wait("document.activeElement.className === 'skip'");
    browser.press("Enter");
    // From region to region; the chosen one is looked for among the endpoints.
    browser.value("document.querySelector('[data-region=us]').focus()");
    browser.press("Enter");
    browser.wait("document.querySelector('#find').value === 'us'");
    browser.wait("document.querySelectorAll('#endpoints tbody tr').length === 1");
    // The focus stays where it is while the page goes on.
    browser.wait("document.activeElement.dataset.region === 'us'");
    browser.press("Enter");
    browser.wait("document.querySelectorAll('#endpoints tbody tr').length === 4");
    browser.value("document.querySelector('#troubled').focus()");
    browser.press("Space");
    browser.wait_text("#endpoints", "All endpoints are up");
    browser.value("document.querySelector('#force').focus()");
    browser.press("Enter");
    browser.wait("document.querySelector('#set').open");
    browser.press("Escape");
    browser.wait("!document.querySelector('#set').open");
    browser.wait("document.activeElement.id === 'force'");
    browser.assert_silent(&[]);
}
