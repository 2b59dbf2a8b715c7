//! Whom the dashboard lets in, and what it is served as.

use serde_json::Value;

use crate::browser::{Browser, DESK};
use crate::fleet::Fleet;
use crate::support::api::request;
use crate::support::meridian::command;
use crate::support::site::Site;

/// A token of this role, and the lines that make it known.
fn token(name: &str, role: &str) -> (String, String) {
    let mut made = command();
    made.args(["admin", "token", name, "--role", role, "--format", "json"]);
    let told: Value = serde_json::from_slice(&made.output().unwrap().stdout).unwrap();
    let text = |key: &str| told[key].as_str().unwrap().to_owned();
    (text("token"), format!("[token.{name}]\nrole = \"{role}\"\nhash = \"{}\"\n", text("hash")))
}

#[test]
fn a_token_opens_it_and_stays_in_the_tab() {
    let ((reader, reading), (operator, operating)) =
        (token("grafana", "read"), token("carol", "operate"));
    let fleet = Fleet::start_with(|site: &Site| {
        site.write("config/tokens.toml", &format!("version = 1\n{reading}{operating}"));
        site.node("eu").replace("[admin]\n", "[admin]\ntokens = \"tokens.toml\"\n")
    });
    let mut browser = Browser::start();
    browser.open(&fleet.url(), DESK);
    browser.wait("document.querySelector('#login').open");
    browser.assert_accessible("signing in");
    browser.picture("desk-login");
    let nothing = browser.text("#regions");
    assert_eq!(nothing, "", "nothing is shown without rights");
    browser.fill("#login-form [name=token]", "wrong");
    browser.press("Enter");
    browser.wait_text("#login-form .problem", "does not know the token");
    browser.fill("#login-form [name=token]", &reader);
    browser.press("Enter");
    browser.wait_text("#verdict", "All regions are up");
    browser.wait_text("#link", "live");
    browser.wait("!document.querySelector('#login').open");
    // Who may read only is not offered what would be refused.
    browser.wait("document.querySelector('#force').disabled");
    browser.reload();
    browser.wait_text("#verdict", "All regions are up");
    browser.click("#leave");
    browser.wait("document.querySelector('#login').open");
    browser.fill("#login-form [name=token]", &operator);
    browser.press("Enter");
    browser.wait("!document.querySelector('#force').disabled");
    let kept = "JSON.stringify([location.href, document.cookie, Object.keys(localStorage), \
                performance.getEntriesByType('resource').map((one) => one.name)])";
    let kept = browser.value(kept);
    for secret in [&reader, &operator] {
        assert!(!kept.as_str().unwrap().contains(secret.as_str()), "{kept}");
    }
    assert_eq!(browser.value("sessionStorage.length"), 1);
    browser.assert_silent(&["401"]);
    let log = fleet.node.process.log();
    assert!(!log.contains(&reader) && !log.contains(&operator), "a token is in the log");
}

#[test]
fn the_files_are_served_to_be_kept_and_to_do_nothing_else() {
    let fleet = Fleet::start();
    let host = format!("Host: {}", fleet.site.admin);
    let get = |line: &str, more: &[&str]| {
        request(fleet.site.admin, line, &[&[host.as_str()], more].concat(), "")
    };
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/dashboard/app.js", "text/javascript; charset=utf-8"),
        ("/dashboard/style.css", "text/css; charset=utf-8"),
        ("/dashboard/icon.svg", "image/svg+xml"),
    ] {
        let (status, head, body) = get(&format!("GET {path}"), &[]);
        assert!(status == 200 && !body.is_empty(), "{path}: {head}");
        for line in [
            &*format!("content-type: {kind}\r\n"),
            "cache-control: no-cache\r\n",
            "x-content-type-options: nosniff\r\n",
            "content-security-policy: default-src 'none'; script-src 'self';",
            "frame-ancestors 'none'",
        ] {
            assert!(format!("{head}\r\n").contains(line), "{path}: {line}\n{head}");
        }
        let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        let (status, _, body) = get(&format!("GET {path}"), &[&format!("If-None-Match: {tag}")]);
        assert_eq!((status, body.as_str()), (304, ""), "{path}");
    }
    let (status, head, _) = get("GET /dashboard/none.js", &[]);
    assert!(status == 404 && head.contains("application/problem+json"), "{head}");
}
