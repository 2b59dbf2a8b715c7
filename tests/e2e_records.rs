//! Records of the rarer types, as dig and kdig read them, and steered HTTPS, SRV and direct names.

// Tests may fail loudly and measure real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // As above.

mod support;

use std::net::SocketAddr;
use std::process::Command;

use support::meridian::command;
use support::process::output;
use support::site::{Site, zone};

/// Nobody listens where `closed` knocks.
const FLEET: &str = r#"version = 1
[monitor.closed]
kind     = "tcp"
port     = 9
interval = "1s"
timeout  = "500ms"
[pool.dead]
monitors  = ["closed"]
endpoints = [
  { region = "eu", address = "127.254.254.1" },
  { region = "eu", address = "127.254.254.2", weight = 0 },
  { region = "us", address = "127.254.254.3" },
]
[region.eu]
location = "aws:eu-central-1"
[region.us]
location = "aws:us-east-1"
[pool.web]
endpoints = [
  { region = "eu", address = "192.0.2.10" },
  { region = "eu", address = "2001:db8:1::10" },
  { region = "us", address = "198.51.100.10" },
  { region = "us", address = "2001:db8:2::10" },
]
"#;

const SERVICES: &str = r#"version = 1
[service.www]
pool   = "web"
policy = ["proximity"]
https  = { alpn = ["h2", "h3"] }
direct = "_region"
[service.dead]
pool   = "dead"
direct = "_region"
"#;

/// Owner, type and RDATA as written, and as both tools show it.
const STATIC: [(&str, &str, &str); 8] = [
    ("@", "CAA", r#"0 issue "ca.example; account=1""#),
    ("@", "CAA", r#"128 iodef "mailto:security@example.com""#),
    (
        "_443._tcp.www",
        "TLSA",
        "3 1 1 0C72AC70B745AC19998811B131D662C9AC69DBDBE7CB23E5B514B566 64C5D3D6",
    ),
    ("ssh", "SSHFP", "4 2 9DC1D6742696D2F51CA1F1A78B3D16A840F7D111EB9454239E70DB31 363F33E1"),
    ("tel", "NAPTR", r#"100 10 "u" "E2U+sip" "!^.*$!sip:info@example.com!" ."#),
    ("tel", "NAPTR", r#"102 10 "s" "SIP+D2U" "" _sip._udp.records.test."#),
    ("dns", "SVCB", r#"1 dns.example.net. alpn="dot""#),
    ("web", "HTTPS", r#"1 . alpn="h2,h3""#),
];

fn site() -> Site {
    let site = Site::new("eu");
    site.write("config/fleet.toml", FLEET);
    let records: Vec<String> =
        STATIC.iter().map(|(owner, rtype, data)| format!("{owner} IN {rtype} {data}")).collect();
    let more = "_https._tcp IN SRV 1 1 443 www\n";
    let text = format!("{}\n{more}", records.join("\n"));
    site.write("zones/records.test.zone", &zone("records.test.", 1, &text));
    site.write("zones/records.test.toml", SERVICES);
    site
}

/// What a tool prints of a reply with these arguments.
fn asked(tool: &str, server: SocketAddr, arguments: &[&str]) -> String {
    let mut command = Command::new(tool);
    command.arg(format!("@{}", server.ip())).args(["-p", &server.port().to_string()]);
    output(command.args(arguments))
}

/// The words of a line, without the quotes and in lower case, in which the tools differ.
fn plain(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.join(" ").replace('"', "").to_lowercase()
}

#[test]
fn static_records_of_rare_types_are_read_alike_by_dig_and_kdig() {
    let site = site();
    let _meridian = site.serve();
    for (owner, rtype, data) in STATIC {
        let name =
            if owner == "@" { "records.test".into() } else { format!("{owner}.records.test") };
        for tool in ["dig", "kdig"] {
            let said = asked(tool, site.dns, &["+short", &name, rtype]);
            // Digests are broken into words differently, or not at all.
            let joined = |line: &str| plain(line).replace(' ', "");
            let found = said.lines().any(|line| joined(line) == joined(data));
            assert!(found, "{tool} {name} {rtype}: {data} is not in\n{said}");
        }
    }
}

#[test]
fn steered_https_has_the_addresses_of_the_clients_region() {
    let site = site();
    let _meridian = site.serve();
    for (subnet, v4, v6) in [
        ("141.20.0.0/24", "192.0.2.10", "2001:db8:1::10"),
        ("12.0.0.0/24", "198.51.100.10", "2001:db8:2::10"),
    ] {
        let subnet = format!("+subnet={subnet}");
        let expected = format!("1 . alpn=h2,h3 ipv4hint={v4} ipv6hint={v6}");
        for tool in ["dig", "kdig"] {
            let ask = |rtype: &str| {
                asked(tool, site.dns, &[&subnet, "+short", "www.records.test", rtype])
            };
            assert_eq!(plain(&ask("HTTPS")), expected, "{tool} {subnet}");
            assert_eq!(plain(&ask("A")), v4, "{tool} {subnet}");
            assert_eq!(plain(&ask("AAAA")), v6, "{tool} {subnet}");
        }
        let said = asked(
            "dig",
            site.dns,
            &[&subnet, "+noall", "+additional", "+comments", "_https._tcp.records.test", "SRV"],
        );
        for address in [v4, v6] {
            let found = said
                .lines()
                .any(|line| line.starts_with("www.records.test.") && line.ends_with(address));
            assert!(found, "{address} is not in\n{said}");
        }
        // The narrowest prefix that the answer holds for is told with it.
        let scope = said.lines().find_map(|line| line.split_once("CLIENT-SUBNET: ")).unwrap().1;
        assert!(!scope.ends_with("/0"), "{scope}");
    }
}

#[test]
fn direct_names_answer_their_region_whoever_asks_and_whatever_its_health() {
    let site = site();
    let _meridian = site.serve();
    let config = site.path("config").display().to_string();
    for (name, rtype, expected) in [
        ("eu._region.www", "A", "192.0.2.10"),
        ("us._region.www", "A", "198.51.100.10"),
        ("us._region.www", "AAAA", "2001:db8:2::10"),
        (
            "US._Region.www",
            "HTTPS",
            "1 . alpn=h2,h3 ipv4hint=198.51.100.10 ipv6hint=2001:db8:2::10",
        ),
        ("eu._region.dead", "A", "127.254.254.1 127.254.254.2"),
        ("us._region.dead", "A", "127.254.254.3"),
    ] {
        let name = format!("{name}.records.test");
        for subnet in ["+subnet=141.20.0.0/24", "+subnet=12.0.0.0/24"] {
            let said = asked("dig", site.dns, &[subnet, "+short", &name, rtype]);
            let mut lines: Vec<String> = said.lines().map(plain).collect();
            lines.sort();
            assert_eq!(lines.join(" "), expected, "{name} {rtype} {subnet}");
        }
        let mut explain = command();
        explain.args(["explain", &name, rtype, "--client", "12.0.0.1", "--config", &config]);
        let said = output(&mut explain);
        assert!(said.contains("asked for by name, whatever their health"), "{said}");
        assert!(rtype != "HTTPS" || said.contains("ipv4hint=198.51.100.10"), "{said}");
    }
    for (name, rtype, rcode) in [
        ("eu._region.dead", "AAAA", "NOERROR"),
        ("_region.www", "A", "NOERROR"),
        ("ap._region.www", "A", "NXDOMAIN"),
    ] {
        let name = format!("{name}.records.test");
        let said = asked("dig", site.dns, &[&name, rtype]);
        assert!(said.contains(&format!("status: {rcode}")), "{name}: {said}");
        assert!(said.contains("ANSWER: 0, AUTHORITY: 1"), "{name}: {said}");
    }
}
