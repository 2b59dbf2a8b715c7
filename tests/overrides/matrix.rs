//! Who may do what, by the very document of the API; and secrets that show up nowhere.

use std::fs;

use serde_json::Value;

use crate::support::api::request;
use crate::support::meridian::http_get;
use crate::support::site::Site;
use crate::{run, site};

/// A request that fits an operation as the document describes it: its line and body.
fn example(method: &str, path: &str) -> (String, &'static str) {
    let path = path.replace("{which}", "region:none").replace("{monitor}", "none");
    let path = path.replace("{pool}", "web").replace("{region}", "none");
    let path = path.replace("{file}", "app.js");
    let query = if path.ends_with("/explain") { "?name=a.test&client=192.0.2.1" } else { "" };
    let body = match path.as_str() {
        "/api/v1/overrides" if method == "post" => {
            r#"{"action":"drain","target":"region:us","reason":"x","for_seconds":60}"#
        }
        _ if method == "get" => "",
        _ => "{}",
    };
    (format!("{} {path}{query}", method.to_uppercase()), body)
}

/// Gives a site a token of each role.
pub(crate) fn tokens(site: &Site) -> (String, String) {
    let made = |name: &str, role: &str| {
        let (json, _) = run(&["admin", "token", name, "--role", role, "--format", "json"], 0);
        let made: Value = serde_json::from_str(&json).unwrap();
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        (text("token"), format!("[token.{name}]\nrole = \"{role}\"\nhash = \"{}\"\n", text("hash")))
    };
    let ((reader, reading), (operator, operating)) =
        (made("grafana", "read"), made("carol", "operate"));
    site.write("config/tokens.toml", &format!("version = 1\n{reading}{operating}"));
    let node = site.node("eu").replace("[admin]\n", "[admin]\ntokens = \"tokens.toml\"\n");
    site.write("config/node.toml", &node);
    (reader, operator)
}

#[test]
fn every_route_asks_for_the_role_that_the_document_says() {
    let site = site();
    let (reader, operator) = tokens(&site);
    let meridian = site.serve();
    let host = format!("Host: {}", site.admin);
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let (reads, operates) = (bearer(&reader), bearer(&operator));
    let json = "Content-Type: application/json";
    let (status, _, text) = request(site.admin, "GET /api/v1/openapi.json", &[&host, &reads], "");
    assert_eq!(status, 200);
    let document: Value = serde_json::from_str(&text).unwrap();
    let mut open = Vec::new();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let role = operation["x-role"].as_str().unwrap();
            if role == "none" {
                open.push(path.as_str());
            }
            let (line, body) = example(method, path);
            for (token, rank) in [(None, 0), (Some(&reads), 1), (Some(&operates), 2)] {
                // The stream of events does not end by itself.
                if path.ends_with("/events") && rank > 0 {
                    continue;
                }
                let mut headers = vec![host.as_str(), json];
                headers.extend(token.map(String::as_str));
                let (status, head, reply) = request(site.admin, &line, &headers, body);
                let needed = ["none", "read", "operate"].iter().position(|r| *r == role).unwrap();
                let refused = match (rank, needed) {
                    (0, 1 | 2) => matches!(status, 401 | 429),
                    (1, 2) => status == 403,
                    _ => !matches!(status, 401 | 403 | 429),
                };
                assert!(refused, "{line} as {rank}: {head}\n{reply}");
                let documented = &operation["responses"][status.to_string()];
                assert!(documented.is_object(), "{line}: {status} is not documented\n{reply}");
                let kind = documented["content"].as_object().unwrap().keys().next().unwrap();
                assert!(kind == "*/*" || head.contains(kind.as_str()), "{line}: {head}");
                asked += 1;
            }
        }
    }
    // The dashboard is the same file on every node: it asks for a token, and shows nothing without.
    let shown = ["/", "/dashboard/{file}", "/livez", "/readyz"];
    assert_eq!(open, shown, "all others ask who comes");
    assert!(asked > 25, "{asked}");
    // What is no route asks, too.
    for line in ["GET /none", "GET /api/v1/none", "POST /metrics", "PUT /api/v1/status"] {
        let (status, ..) = request(site.admin, line, &[&host], "");
        assert!(matches!(status, 401 | 429), "{line}: {status}");
    }
    let (status, head, _) = request(site.admin, "GET /none", &[&host, &reads], "");
    assert!(status == 404 && head.contains("application/problem+json"), "{head}");
    let (status, head, _) = request(site.admin, "PUT /api/v1/status", &[&host, &operates], "");
    assert!(status == 405 && head.contains("application/problem+json"), "{head}");
    assert!(head.to_lowercase().contains("allow: get"), "{head}");

    // The tokens were shown in each request; they are kept nowhere.
    let mut texts = vec![meridian.process.log(), text];
    for path in ["/metrics", "/api/v1/status", "/api/v1/overrides"] {
        texts.push(request(site.admin, &format!("GET {path}"), &[&host, &reads], "").2);
    }
    texts.extend(http_get(site.admin, "/readyz").map(|(_, text)| text));
    texts.extend(state(&site));
    for secret in [&reader, &operator] {
        assert!(texts.iter().all(|text| !text.contains(secret.as_str())), "a token leaked");
    }
}

/// All that the node keeps on disk.
pub(crate) fn state(site: &Site) -> Vec<String> {
    let files = fs::read_dir(site.path("state")).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter_map(|path| Some(String::from_utf8_lossy(&fs::read(path).ok()?).into_owned()))
        .collect()
}
