//! Who may use the admin listener: tokens, certificates, socket files, hosts.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::api::request;
use crate::support::certificates;
use crate::support::meridian::command;
use crate::support::wait_for;
use crate::{answer, ended, ip, run, site};

/// A token and its lines of tokens.toml.
fn token(name: &str, role: &str) -> (String, String) {
    let (json, _) = run(&["admin", "token", name, "--role", role, "--format", "json"], 0);
    let made: Value = serde_json::from_str(&json).unwrap();
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    let lines = format!("[token.{name}]\nrole = \"{role}\"\nhash = \"{}\"\n", text("hash"));
    (text("token"), lines)
}

const WISH: &str = "{\"action\":\"down\",\"target\":\"region:eu\",\"reason\":\"x\",\
    \"author\":\"a\",\"for_seconds\":600}";

#[test]
fn the_api_says_what_it_refuses_and_why() {
    let site = site();
    let _meridian = site.serve();
    let host = format!("Host: {}", site.admin);
    let json = "Content-Type: application/json";
    let longer = WISH.replace("\"x\"", &format!("\"{}\"", "x".repeat(1 << 20)));
    for (case, line, headers, body, status) in [
        ("of another site", "GET /api/v1/status", &["Host: evil.test"][..], "", 421),
        ("metrics for another site", "GET /metrics", &["Host: evil.test"], "", 421),
        ("readiness for anybody", "GET /readyz", &["Host: evil.test"], "", 200),
        ("as a form", "POST /api/v1/overrides", &[&host, "Content-Type: text/plain"], WISH, 415),
        ("no JSON", "POST /api/v1/overrides", &[&host, json], "{", 400),
        ("an unknown key", "POST /api/v1/overrides", &[&host, json], "{\"x\":1}", 400),
        ("too long", "POST /api/v1/overrides", &[&host, json], &longer, 413),
        ("no such override", "DELETE /api/v1/overrides/region:eu", &[&host], "", 404),
        (
            "another revision",
            "POST /api/v1/overrides",
            &[&host, json, "If-Match: \"7\""],
            WISH,
            412,
        ),
        ("this revision", "POST /api/v1/overrides", &[&host, json, "If-Match: \"0\""], WISH, 201),
        (
            "an old revision",
            "DELETE /api/v1/overrides/region:eu",
            &[&host, "If-Match: \"0\""],
            "",
            412,
        ),
        ("the new one", "DELETE /api/v1/overrides/region:eu", &[&host, "If-Match: \"1\""], "", 200),
    ] {
        let (found, head, reply) = request(site.admin, line, headers, body);
        assert_eq!(found, status, "{case}: {head}\n{reply}");
        assert!(!head.to_lowercase().contains("access-control"), "{case}: {head}");
        if status >= 400 {
            assert!(head.contains("application/problem+json"), "{case}: {head}");
            let problem: Value = serde_json::from_str(&reply).unwrap();
            assert!(problem["error"].is_string() && problem["status"] == status, "{case}: {reply}");
        }
    }
}

#[test]
fn tokens_open_what_their_role_allows_and_change_with_the_file() {
    let site = site();
    let (reader, reading) = token("prometheus", "read");
    let (operator, operating) = token("bob", "operate");
    site.write("config/tokens.toml", &format!("version = 1\n{reading}{operating}"));
    let node = site.node("eu").replace("[admin]\n", "[admin]\ntokens = \"tokens.toml\"\n");
    site.write("config/node.toml", &node);
    // Metrics need a token here, too.
    let meridian = site.serve();
    let host = format!("Host: {}", site.admin);
    let json = "Content-Type: application/json";
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let (reads, operates) = (bearer(&reader), bearer(&operator));
    for (line, headers, status) in [
        ("GET /livez", &[host.as_str()][..], 200),
        ("GET /readyz", &[&host], 200),
        ("GET /metrics", &[&host], 401),
        ("GET /metrics", &[&host, &reads], 200),
        ("GET /api/v1/status", &[&host], 401),
        ("GET /api/v1/status", &[&host, "Authorization: Bearer mrd_wrong"], 401),
        ("GET /api/v1/status", &[&host, &reads], 200),
        ("POST /api/v1/overrides", &[&host, json, &reads], 403),
        ("DELETE /api/v1/overrides/x", &[&host, &reads], 403),
        ("POST /api/v1/overrides", &[&host, json, &operates], 201),
    ] {
        let (found, head, _) = request(site.admin, line, headers, WISH);
        assert_eq!(found, status, "{line} {headers:?}: {head}");
    }
    assert_eq!(answer(&meridian), ip("192.0.2.11"));
    // The commands take tokens from a file or from the environment.
    site.write("token", &operator);
    let (url, file) = (format!("http://{}", site.admin), site.path("token").display().to_string());
    run(&["force", "list", "--node", &url, "--token-file", &file], 0);
    let mut own = command();
    let arguments = ["force", "clear", "region:eu", "--node", &url];
    let output = own.args(arguments).env("MERIDIAN_TOKEN", &operator).output().unwrap();
    ended(&arguments, &output, 0);
    run(&["force", "list", "--node", &url], 1);
    let audit = fs::read_to_string(site.path("state/audit.log")).unwrap();
    assert!(audit.lines().all(|line| line.contains("\"who\":\"bob\"")), "{audit}");
    for secret in [&reader, &operator] {
        assert!(
            !meridian.process.log().contains(secret.as_str()) && !audit.contains(secret.as_str())
        );
    }
    // A token that is taken out is worth nothing after the reload.
    site.write("config/tokens.toml", &format!("version = 1\n{reading}"));
    wait_for("the reload", || {
        let (status, ..) = request(site.admin, "GET /api/v1/status", &[&host, &operates], "");
        (status != 200).then_some(())
    });
    let limited = (0..20).any(|_| request(site.admin, "GET /metrics", &[&host], "").0 == 429);
    assert!(limited, "failures are told to wait");
    assert_eq!(request(site.admin, "GET /metrics", &[&host, &reads], "").0, 200);
}

#[test]
fn certificates_of_an_authority_open_everything() {
    let site = site();
    let (chain, key) = certificates::pem();
    site.write("config/tls/admin.pem", &chain);
    site.write("config/tls/admin.key", &key);
    site.write("config/tls/ops-ca.pem", &certificates::authority());
    let (shown, secret) = certificates::pem();
    site.write("alice.pem", &format!("{shown}{secret}"));
    let tls = "[admin]\nhosts = [\"ns1.example.com\"]\n\
        tls.chain = \"tls/admin.pem\"\ntls.key = \"tls/admin.key\"\n\
        tls.client_ca = \"tls/ops-ca.pem\"\n";
    site.write("config/node.toml", &site.node("eu").replace("[admin]\n", tls));
    let meridian = site.start();
    let path = |name: &str| site.path(name).display().to_string();
    let (ca, identity) = (path("config/tls/ops-ca.pem"), path("alice.pem"));
    // The certificate is for a name that leads nowhere; the socket is given by its address.
    let output = |arguments: &[&str]| {
        let url = format!("https://{}", site.admin);
        command().args(arguments).args(["--node", &url, "--ca", &ca]).output().unwrap()
    };
    wait_for("the listener", || TcpStream::connect(site.admin).ok());
    let refused = output(&["status"]);
    let (_, err) = ended(&["status"], &refused, 3);
    assert!(err.contains("cannot reach the node"), "the name does not match: {err}");
    let curl = |more: &[&str]| {
        let resolve = format!("ns1.example.com:{}:{}", site.admin.port(), site.admin.ip());
        let url = format!("https://ns1.example.com:{}/api/v1/status", site.admin.port());
        let mut curl = std::process::Command::new("curl");
        let curl = curl.args(["-sS", "--resolve", &resolve, "--cacert", &ca, &url]).args(more);
        curl.output().unwrap()
    };
    let without = curl(&[]);
    assert!(!without.status.success() || without.stdout.is_empty(), "{without:?}");
    let with = curl(&["--cert", &identity]);
    let status: Value = serde_json::from_slice(&with.stdout).unwrap_or_else(|_| panic!("{with:?}"));
    assert_eq!(status["node"], "test-1");
    drop(meridian);
}

#[test]
fn a_socket_file_is_for_its_owner_and_replaces_one_that_a_crash_left() {
    let site = site();
    let listen = format!("listen = \"{}\"", site.admin);
    let node = site.node("eu");
    let at = node.rfind(&listen).unwrap();
    let node =
        format!("{}listen = \"unix:../admin.sock\"{}", &node[..at], &node[at + listen.len()..]);
    site.write("config/node.toml", &node);
    let path = site.path("admin.sock");
    let url = format!("unix:{}", path.display());
    let config = site.path("config").display().to_string();
    for turn in 0..2 {
        let mut meridian = site.start();
        wait_for("the socket file", || {
            let output = command().args(["status", "--node", &url]).output().unwrap();
            output.status.success().then_some(())
        });
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // The configuration says where it is, as well.
        run(
            &["force", "down", "region:eu", "--for", "1h", "--reason", "x", "--config", &config],
            0,
        );
        assert_eq!(answer(&meridian), ip("192.0.2.11"), "turn {turn}");
        meridian.process.kill();
    }
}

#[test]
fn a_listener_off_loopback_needs_to_know_who_comes() {
    let site = site();
    let node = site.node("eu").replace(&format!("\"{}\"", site.admin), "\"0.0.0.0:1\"");
    site.write("config/node.toml", &node);
    let config = site.path("config").display().to_string();
    let (_, err) = run(&["serve", "--config", &config], 2);
    assert!(err.contains("`0.0.0.0:1` is not on loopback, and everybody may use it"), "{err}");
}
