//! Secrets of every sort, planted like canaries: none sings in a log, metric, answer or file.

use data_encoding::{BASE64, HEXLOWER, HEXUPPER};
use serde_json::Value;

use crate::matrix::{state, tokens};
use crate::support::api::request;
use crate::support::free_beside;
use crate::support::meridian::{Meridian, command};
use crate::support::site::Site;
use crate::{SERVICES, site};

/// The variable that a monitor sends as a header.
const VARIABLE: &str = "MERIDIAN_TEST_CANARY";

/// A secret of this number of octets that is no part of anything else.
fn canary(name: &str, length: usize) -> Vec<u8> {
    let octets = name.bytes().chain(*b"-is-a-canary-that-nobody-may-hear-").cycle();
    octets.take(length).collect()
}

/// The forms in which a secret may show up.
fn forms(secret: &[u8]) -> Vec<String> {
    let encoded = BASE64.encode(secret);
    let mut forms = vec![encoded, HEXLOWER.encode(secret), HEXUPPER.encode(secret)];
    forms.extend(String::from_utf8(secret.to_vec()));
    forms
}

/// Writes a configuration that needs a secret wherever one may stand; gives the secrets.
fn plant(site: &Site) -> Vec<Vec<u8>> {
    let (key, hook) = (canary("key", 32), canary("hook", 32));
    let (cookie, sticky) = (canary("cookie", 16), canary("sticky", 32));
    site.write("config/xfr.secret", &BASE64.encode(&key));
    site.write("config/hook.secret", &BASE64.encode(&hook));
    site.write("config/cookies.key", &HEXLOWER.encode(&cookie));
    site.write("config/sticky.key", &HEXLOWER.encode(&sticky));
    let keys = "[key.\"xfr.\"]\nalgorithm = \"hmac-sha256\"\nsecret_file = \"xfr.secret\"\n";
    site.write("config/keys.toml", &format!("version = 1\n{keys}"));
    let dns = "workers = 2\ntransfer = [{ to = \"127.0.0.1\", key = \"xfr.\" }]\n\
               cookies = { secret_file = \"cookies.key\" }\n";
    let node = std::fs::read_to_string(site.path("config/node.toml")).unwrap();
    let node = node.replace("workers = 2\n", dns);
    let proxy = free_beside(site.dns.ip(), &[site.dns, site.admin]);
    let nobody = site.address(9);
    let more = format!(
        "[proxy]\nhttp = [\"{proxy}\"]\n\
         [webhook.ops]\nurl = \"http://{nobody}:9/hook\"\nsecret_file = \"hook.secret\"\n\
         group = \"100ms\"\n[log]\nlevel = \"trace\"\n"
    );
    site.write("config/node.toml", &(node + &more));
    let [one, two] = [8, 7].map(|number| site.address(number));
    let fleet = format!(
        "version = 1\n[region.eu]\nlocation = \"DE\"\n[region.us]\nlocation = \"US\"\n\
         [monitor.ready]\nkind = \"http\"\nport = 9\ninterval = \"1s\"\ntimeout = \"500ms\"\n\
         headers = {{ authorization = {{ env = \"{VARIABLE}\" }} }}\n\
         [monitor.told]\nkind = \"feed\"\n\
         [pool.web]\nmonitors = [\"ready\", \"told\"]\nendpoints = [\n\
         {{ region = \"eu\", address = \"{one}\" }},\n\
         {{ region = \"us\", address = \"{two}\" }},\n]\n\
         [[route]]\npool = \"web\"\nsticky = {{ cookie = \"s\", secret_file = \"sticky.key\" }}\n"
    );
    site.write("config/fleet.toml", &fleet);
    site.write("zones/force.test.toml", SERVICES);
    vec![key, hook, cookie, sticky, canary("header", 32)]
}

/// All that the API says to those who may ask for everything.
fn said(site: &Site, operator: &str) -> Vec<String> {
    let (host, bearer) =
        (format!("Host: {}", site.admin), format!("Authorization: Bearer {operator}"));
    let json = "Content-Type: application/json";
    let ask = |line: &str, body: &str| {
        let (_, head, text) = request(site.admin, line, &[&host, &bearer, json], body);
        format!("{head}\n{text}")
    };
    let (_, _, text) = request(site.admin, "GET /api/v1/openapi.json", &[&host, &bearer], "");
    let document: Value = serde_json::from_str(&text).unwrap();
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        // The stream of events does not end by itself.
        if methods.get("get").is_some() && !path.ends_with("/events") {
            let query = if path.ends_with("/explain") {
                "?name=www.force.test&client=192.0.2.1"
            } else {
                ""
            };
            all.push(ask(&format!("GET {path}{query}"), ""));
        }
    }
    assert!(all.len() >= 8, "{}", all.len());
    for (line, body) in [
        (
            "POST /api/v1/overrides",
            r#"{"action":"up","target":"region:us","reason":"x","for_seconds":60}"#,
        ),
        ("POST /api/v1/overrides", r#"{"action":"down","target":"nothing","reason":"x"}"#),
        ("POST /api/v1/drills/preflight", r#"{"name":"x","fail":["region:eu"],"how":"health"}"#),
        ("DELETE /api/v1/overrides/region:none", "{}"),
    ] {
        all.push(ask(line, body));
    }
    all
}

#[test]
fn no_secret_shows_up_in_a_log_a_metric_an_answer_or_a_file() {
    let site = site();
    let (_, operator) = tokens(&site);
    let mut secrets: Vec<Vec<String>> = plant(&site).iter().map(|one| forms(one)).collect();
    secrets.push(vec![operator.clone()]);
    let header = String::from_utf8(canary("header", 32)).unwrap();
    let mut own = command();
    own.env(VARIABLE, &header);
    let config = site.path("config");
    let mut meridian =
        Meridian::start_with(&mut own, &config, &site.path(""), site.dns, site.admin);
    meridian.wait_ready();

    let mut texts = said(&site, &operator);
    // A reload of broken files tells what is wrong with them.
    site.write("config/hook.secret", "not base64 !");
    crate::support::wait_for("a refusal", || {
        meridian.process.log().contains("reload refused").then_some(())
    });
    for form in ["text", "json"] {
        let mut check = command();
        check.args(["check", "--effective", "--format", form, "--config"]).arg(&config);
        let output = check.env(VARIABLE, &header).output().unwrap();
        texts.extend([output.stdout, output.stderr].map(|o| String::from_utf8(o).unwrap()));
    }
    meridian.process.stop();
    texts.push(meridian.process.log());
    texts.extend(state(&site));
    let log = meridian.process.log();
    assert!(log.contains("override set") && log.contains("TRACE"), "nothing was hidden by level");
    for secret in secrets.iter().flatten() {
        let found = texts.iter().find(|text| text.contains(secret.as_str()));
        let around = found.map(|text| {
            let at = text.find(secret.as_str()).unwrap_or_default();
            text.get(at.saturating_sub(200)..(at + 200).min(text.len())).unwrap_or(text)
        });
        assert_eq!(around, None, "{secret}");
    }
}
