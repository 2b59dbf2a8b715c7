//! DNS cookies, the server's name and response rates, as dig and kdig see a running server.

// Tests may fail loudly and measure real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // As above.

mod support;

use std::process::Command;

use support::meridian::Meridian;
use support::process::output;
use support::site::{Site, UNLIMITED, zone};
use support::wait_for;

const FIRST: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
const SECOND: &str = "445536bcd2513298075a5d379663c962";
/// What a client of eight octets is called in these tests.
const CLIENT: &str = "0102030405060708";

const FLEET: &str = "version = 1\n[region.near]\nlocation = { lat = 50, lon = 8 }\n";

/// A served zone, with these keys in `[dns]`, and a server that ends before its folder does.
fn site(dns: &str) -> (Meridian, Site) {
    let site = Site::new("near");
    site.write("config/node.toml", &site.node("near").replace(UNLIMITED, dns));
    site.write("config/fleet.toml", FLEET);
    site.write("config/cookies.key", FIRST);
    site.write("zones/one.test.zone", &zone("one.test.", 1, "www IN A 192.0.2.1"));
    (site.serve(), site)
}

/// What a tool prints.
fn ask(site: &Site, tool: &str, arguments: &str) -> String {
    let (server, port) = (site.dns.ip(), site.dns.port());
    let mut command = Command::new(tool);
    command.arg(format!("@{server}")).args(["-p", &port.to_string()]);
    output(command.args(arguments.split(' ')))
}

/// The server's cookie in what a tool prints.
fn cookie(text: &str) -> String {
    let cookie = text.lines().find_map(|line| line.split_once("COOKIE: "));
    let (_, cookie) = cookie.unwrap_or_else(|| panic!("no cookie in\n{text}"));
    cookie.split([' ', '(']).next().unwrap().to_owned()
}

#[test]
fn dig_accepts_cookies_and_brings_them_back() {
    let (meridian, site) = site("cookies.secret_file = \"cookies.key\"");
    let first = ask(&site, "dig", "+cookie=0102030405060708 www.one.test");
    assert!(first.contains("(good)") && first.contains("192.0.2.1"), "{first}");
    let given = cookie(&first);
    assert!(given.starts_with(CLIENT) && given.len() == 48, "{given}");
    let again = ask(&site, "dig", &format!("+cookie={given} www.one.test"));
    assert!(again.contains("(good)") && cookie(&again) == given, "{again}");
    let knot = ask(&site, "kdig", &format!("+cookie={given} www.one.test A"));
    assert!(knot.contains("192.0.2.1") && knot.to_lowercase().contains("cookie"), "{knot}");
    let forged = format!("{}0", &given[..47]);
    let forged = if forged == given { format!("{}1", &given[..47]) } else { forged };
    let fresh = ask(&site, "dig", &format!("+cookie={forged} www.one.test"));
    assert!(fresh.contains("NOERROR") && cookie(&fresh) != forged, "{fresh}");
    let cookies = |word: &str| {
        meridian.metric("meridian_dns_cookies_total", &[&format!("cookie=\"{word}\"")])
    };
    assert_eq!((cookies("new"), cookies("valid"), cookies("invalid")), (1.0, 2.0, 1.0));

    // A roll-over: the new secret first, the old one for those who still have its cookies.
    site.write("config/cookies.key", &format!("{SECOND}\n{FIRST}\n"));
    let renewed = wait_for("a cookie of the new secret", || {
        let text = ask(&site, "dig", &format!("+cookie={given} www.one.test"));
        Some(cookie(&text)).filter(|cookie| *cookie != given)
    });
    site.write("config/cookies.key", &format!("{SECOND}\n"));
    wait_for("the old secret to be forgotten", || {
        let before = cookies("invalid");
        ask(&site, "dig", &format!("+cookie={given} www.one.test"));
        Some(()).filter(|()| cookies("invalid") > before)
    });
    let valid = cookies("valid");
    ask(&site, "dig", &format!("+cookie={renewed} www.one.test"));
    assert!(cookies("valid") > valid);

    // A broken file changes nothing.
    site.write("config/cookies.key", "broken\n");
    wait_for("a refused reload", || {
        let refused = meridian.metric("meridian_reloads_total", &["outcome=\"refused\""]);
        Some(()).filter(|()| refused > 0.0)
    });
    let text = ask(&site, "dig", &format!("+cookie={renewed} www.one.test"));
    assert_eq!(cookie(&text), renewed);
}

#[test]
fn dig_and_kdig_come_again_when_a_cookie_is_required() {
    let (meridian, site) = site("cookies.policy = \"required\"");
    let refused = ask(&site, "dig", "+cookie=0102030405060708 +nobadcookie www.one.test");
    assert!(refused.contains("BADCOOKIE") && !refused.contains("192.0.2.1"), "{refused}");
    assert!(refused.contains("(good)"), "{refused}");
    let retried = ask(&site, "dig", "+cookie=0102030405060708 +badcookie www.one.test");
    assert!(retried.contains("status: NOERROR") && retried.contains("192.0.2.1"), "{retried}");
    let knot = ask(&site, "kdig", "+cookie=0102030405060708 +badcookie www.one.test A");
    assert!(knot.contains("status: NOERROR") && knot.contains("192.0.2.1"), "{knot}");
    for plain in ["+nocookie www.one.test", "+tcp +cookie=0102030405060708 www.one.test"] {
        let text = ask(&site, "dig", plain);
        assert!(text.contains("status: NOERROR") && text.contains("192.0.2.1"), "{text}");
    }
    let refusals = meridian.metric("meridian_dns_replies_total", &["rcode=\"BADCOOKIE\""]);
    assert_eq!(refusals.round() as u64, 3);
}

#[test]
fn the_server_tells_its_name_and_its_version_only_when_it_may() {
    let open = site("chaos = true");
    let text = ask(&open.1, "dig", "+nsid www.one.test");
    assert!(text.contains("(\"test-1\")"), "{text}");
    let version = concat!("\"meridian ", env!("CARGO_PKG_VERSION"), "\"");
    for (arguments, expected) in [
        ("+short CH TXT id.server", "\"test-1\""),
        ("+short CH TXT hostname.bind", "\"test-1\""),
        ("+short CH TXT version.bind", version),
        ("+short +tcp CH TXT version.server", version),
    ] {
        assert_eq!(ask(&open.1, "dig", arguments).trim(), expected, "{arguments}");
    }
    drop(open);
    let closed = site("nsid = \"\"");
    assert!(!ask(&closed.1, "dig", "+nsid www.one.test").contains("NSID"));
    assert!(ask(&closed.1, "dig", "CH TXT version.bind").contains("REFUSED"));
}

#[test]
fn who_is_above_the_rate_gets_through_over_tcp() {
    let limits = "limits = { response_rate = { positive = \"1/s\" }, slip = 1 }";
    let (meridian, site) = site(limits);
    for _ in 0..5 {
        // Truncated over UDP, so dig asks again over TCP.
        let text = ask(&site, "dig", "+nocookie www.one.test");
        assert!(text.contains("192.0.2.1"), "{text}");
    }
    let slipped = meridian.metric("meridian_dns_limited_total", &["action=\"slipped\""]);
    assert!(slipped >= 3.0, "{slipped}");
    let again = meridian.metric("meridian_dns_queries_total", &["transport=\"tcp\""]);
    assert_eq!(again.round() as u64, slipped.round() as u64);
}
