//! Ways of writing a forbidden target: none of them gets a packet sent there.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use meridian::config;
use meridian::model::{Check, TcpCheck};
use tokio::net::TcpListener;

use crate::http::expecting;
use crate::{Lab, host, http, words};

/// What becomes of a target as it is written in `address` or `probe` of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The configuration is refused.
    Refused,
    /// It is a hostname, which the guard judges by what it resolves to.
    Name,
}
use Fate::{Name, Refused};

/// Loopback and the metadata address of clouds, in 60 ways.
const FORMS: [(&str, Fate); 60] = [
    // As they are.
    ("127.0.0.1", Refused),
    ("169.254.169.254", Refused),
    ("127.255.255.254", Refused),
    ("0.0.0.0", Refused),
    ("::", Refused),
    ("::1", Refused),
    ("[::1]", Refused),
    // Numbers that some libraries take for IPv4 addresses.
    ("2130706433", Refused),
    ("2852039166", Refused),
    ("017700000001", Refused),
    ("025177524776", Refused),
    ("0x7f000001", Name),
    ("0xa9fea9fe", Name),
    ("0x7f.0.0.1", Refused),
    ("0xa9.0xfe.0xa9.0xfe", Name),
    ("0251.0376.0251.0376", Refused),
    ("0177.0.0.1", Refused),
    ("127.1", Refused),
    ("127.0.1", Refused),
    ("169.254.43518", Refused),
    ("169.16689662", Refused),
    ("127.0.0.01", Refused),
    ("00127.0.0.1", Refused),
    ("127.0.0.1.", Refused),
    ("127.0.0.0x1", Name),
    ("1.0.0.127.in-addr.arpa", Name),
    // IPv4 inside IPv6.
    ("::ffff:127.0.0.1", Refused),
    ("::ffff:7f00:1", Refused),
    ("0:0:0:0:0:ffff:a9fe:a9fe", Refused),
    ("::FFFF:169.254.169.254", Refused),
    ("::127.0.0.1", Refused),
    ("::a9fe:a9fe", Refused),
    ("::ffff:0:127.0.0.1", Refused),
    ("64:ff9b::127.0.0.1", Refused),
    ("64:ff9b::a9fe:a9fe", Refused),
    ("64:ff9b:1::169.254.169.254", Refused),
    ("64:ff9b:1:a9fe:a9:fe00::", Refused),
    ("64:ff9b:1:ffff::7f00:1", Refused),
    ("2002:7f00:1::", Refused),
    ("2002:a9fe:a9fe::a9fe:a9fe", Refused),
    ("2001:0:102:304::80ff:fffe", Refused),
    ("2001::5601:5601", Refused),
    // Private space of IPv6.
    ("fe80::1", Refused),
    ("fe80::1%eth0", Refused),
    ("fe80::1%25lo", Refused),
    ("fd00:ec2::254", Refused),
    ("fec0::1", Refused),
    ("ff02::1", Refused),
    // With more around it.
    ("http://127.0.0.1/", Refused),
    ("user@127.0.0.1", Refused),
    ("user:secret@169.254.169.254:80", Refused),
    ("example.com@127.0.0.1", Refused),
    ("127.0.0.1#example.com", Refused),
    ("127.0.0.1/latest", Refused),
    ("127.0.0.1%00example.com", Refused),
    ("127.0.0.1\\r\\nhost: x", Refused),
    (" 127.0.0.1", Refused),
    ("127。0。0。1", Refused),
    ("①②⑦.⓪.⓪.①", Refused),
    ("localhost", Name),
];

/// What `check` of the configuration makes of it.
fn fate(key: &str, text: &str) -> Result<Fate, String> {
    let folder = tempfile::tempdir().unwrap();
    let node = "version = 1\n[node]\nname = \"a\"\nregion = \"eu\"\n\
                [probe]\nallow_private = false\n";
    let address = if key == "address" { String::new() } else { "address = \"192.0.2.1\", ".into() };
    let fleet = format!(
        "version = 1\n[region.eu]\nlocation = \"DE\"\n[monitor.m]\nkind = \"tcp\"\nport = 80\n\
         [pool.web]\nmonitors = [\"m\"]\n\
         endpoints = [{{ region = \"eu\", {address}{key} = \"{text}\" }}]\n"
    );
    for (name, text) in [("node.toml", node), ("fleet.toml", &fleet)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let loaded = config::load(folder.path());
    let Some(model) = loaded.model else { return Ok(Refused) };
    let endpoint = &model.fleet.endpoints[0];
    let probed = endpoint.probe.as_ref().map_or(&endpoint.address, |probe| &probe.address);
    match probed {
        meridian::model::Address::Host(_) => Ok(Name),
        meridian::model::Address::Ip(ip) => Err(format!("`{text}` would be probed at {ip}")),
    }
}

#[test]
fn no_way_of_writing_a_forbidden_target_gets_past_the_configuration() {
    let mut report = String::new();
    for (text, expected) in FORMS {
        for key in ["address", "probe"] {
            let found = fate(key, text);
            if found != Ok(expected) {
                writeln!(report, "{key} {text}: {found:?}, expected {expected:?}").unwrap();
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[tokio::test]
async fn a_name_leads_nowhere_forbidden_whatever_it_resolves_to() {
    let mut lab = Lab::plain();
    lab.rules.allow_private = false;
    lab.rules.deny = vec!["169.254.169.254/32".parse().unwrap()];
    let addresses: Vec<IpAddr> = FORMS.iter().filter_map(|(text, _)| text.parse().ok()).collect();
    assert!(addresses.len() > 25, "{}", addresses.len());
    for address in addresses {
        lab.resolves("rebound.example.", &[address]);
        let at = meridian::model::Address::Host(host("rebound.example."));
        let outcome = lab.probe(Check::Tcp(TcpCheck::connecting(80)), at, 80).await;
        assert!(words(&outcome).starts_with("denied: "), "{address}: {}", words(&outcome));
    }
}

#[tokio::test]
async fn a_name_that_moves_between_look_up_and_connection_is_judged_where_it_is() {
    let forbidden = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = forbidden.local_addr().unwrap().port();
    let _allowed = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), port)).await.unwrap();
    let mut lab = Lab { timeout: Duration::from_secs(1), ..Lab::plain() };
    lab.rules.deny = vec!["127.0.0.1/32".parse().unwrap()];
    // `localhost` is 127.0.0.1 to whoever asks the system again.
    for (resolved, found) in [
        ("127.0.0.2", "ok"),
        ("127.0.0.1", "denied: address `127.0.0.1` is denied by `127.0.0.1/32`"),
    ] {
        lab.resolves("localhost.", &[resolved.parse().unwrap()]);
        let at = meridian::model::Address::Host(host("localhost."));
        let outcome = lab.probe(Check::Tcp(TcpCheck::connecting(80)), at.clone(), port).await;
        assert_eq!(words(&outcome), found);
    }
    let accepted = tokio::time::timeout(Duration::from_millis(50), forbidden.accept()).await;
    assert!(accepted.is_err(), "nothing arrived there");
}

#[tokio::test]
async fn a_redirect_to_a_forbidden_place_is_not_followed() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let forbidden = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = forbidden.local_addr().unwrap();
    let server = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let at: SocketAddr = server.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let head = format!(
                "HTTP/1.1 302 Found\r\nlocation: http://{place}/\r\ncontent-length: 0\r\n\
                 connection: close\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes()).await;
        }
    });
    let mut lab = Lab::plain();
    lab.rules.deny = vec!["127.0.0.1/32".parse().unwrap()];
    let found = lab.found(Check::Http(http("/")), at).await;
    assert_eq!(found, "status: status 302, expected 200-299");
    let mut check = expecting(http("/"), "^$");
    check.expect_status = vec![302..=302];
    assert_eq!(lab.found(Check::Http(check), at).await, "ok", "nor where it is expected");
    let accepted = tokio::time::timeout(Duration::from_millis(50), forbidden.accept()).await;
    assert!(accepted.is_err(), "nothing arrived there");
}
