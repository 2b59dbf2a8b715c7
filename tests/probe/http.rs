//! The `http` check.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use meridian::model::{Address, Check, HttpCheck, Scheme};
use regex::bytes::Regex;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::certificates::{Authority, Pair};
use crate::nginx::{Nginx, address, free_ports};
use crate::{Lab, host, http, words};

const ECHO: &str = "return 200 \"host=$http_host agent=$http_user_agent tier=$http_x_tier \
                    method=$request_method sni=$ssl_server_name requests=$connection_requests \
                    cookie=$http_cookie referer=$http_referer.\";";

const STATUS: &str = r#"return 200 "{\"status\":\"ok\"}";"#;

/// An nginx in the clear.
fn plain_nginx() -> (Nginx, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let page = |name: &str, needle_at: usize| {
        let mut file = fs::File::create(folder.path().join(name)).unwrap();
        file.write_all(&vec![b'.'; needle_at]).unwrap();
        file.write_all(b"needle").unwrap();
        file.write_all(&vec![b'.'; 200_000 - needle_at]).unwrap();
    };
    page("inside", 64 * 1024 - 6);
    page("across", 64 * 1024 - 3);
    let port = free_ports(1)[0];
    let at = SocketAddr::new(address(), port);
    let servers = format!(
        "server {{ listen {at}; root {root};\n\
         location = /ok {{ add_header set-cookie a=b; {STATUS} }}\n\
         location = /no-content {{ return 204; }}\n\
         location = /busy {{ return 503; }}\n\
         location = /moved {{ return 302 /ok; }}\n\
         location = /hang-up {{ return 444; }}\n\
         location = /echo {{ {ECHO} }}\n\
         location = /slow {{ limit_rate 1k; alias {root}/inside; }}\n\
         location / {{ }} }}",
        root = folder.path().display(),
    );
    (Nginx::start(folder, &servers, port), at)
}

pub(crate) fn expecting(mut check: HttpCheck, body: &str) -> HttpCheck {
    check.expect_body = Some(Regex::new(body).unwrap());
    check
}

#[tokio::test]
async fn status_and_body_decide() {
    let (_nginx, at) = plain_nginx();
    let statuses = |path: &str, expected: &[(u16, u16)]| {
        let expect_status = expected.iter().map(|(low, high)| *low..=*high).collect();
        HttpCheck { expect_status, ..http(path) }
    };
    for (case, check, found) in [
        ("a 200", http("/ok"), "ok"),
        ("another 2xx without body", http("/no-content"), "ok"),
        ("a 503", http("/busy"), "status: status 503, expected 200-299"),
        ("a 404", http("/nothing?a=b"), "status: status 404, expected 200-299"),
        ("an expected 503", statuses("/busy", &[(200, 200), (500, 599)]), "ok"),
        (
            "an unexpected 200",
            statuses("/ok", &[(204, 204), (301, 302)]),
            "status: status 200, expected 204, 301-302",
        ),
        ("redirects are not followed", http("/moved"), "status: status 302, expected 200-299"),
        ("a redirect that is expected", statuses("/moved", &[(302, 302)]), "ok"),
        ("a body that matches", expecting(http("/ok"), "\"status\":\"ok\""), "ok"),
        (
            "a body that does not",
            expecting(http("/ok"), "\"status\":\"fine\""),
            "body: body does not match `\"status\":\"fine\"`",
        ),
        ("an empty body", expecting(http("/no-content"), "."), "body: body does not match `.`"),
        ("a match that ends at 64 KiB", expecting(http("/inside"), "needle"), "ok"),
        (
            "a match that ends after it",
            expecting(http("/across"), "needle"),
            "body: body does not match `needle`",
        ),
        ("a large body nobody asked about", http("/across"), "ok"),
        (
            "a server that hangs up",
            http("/hang-up"),
            "protocol: connection closed before message completed",
        ),
    ] {
        assert_eq!(Lab::plain().found(Check::Http(check), at).await, found, "{case}");
    }
}

#[tokio::test]
async fn the_request_is_as_configured() {
    let (_nginx, at) = plain_nginx();
    let echo = || http("/echo");
    let named = |name: &str| HttpCheck { host: Some(name.to_owned()), ..echo() };
    let headers = |list: &[(&str, &str)]| HttpCheck {
        headers: list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        ..echo()
    };
    let post = HttpCheck { method: "POST".to_owned(), ..echo() };
    let here = format!("host={at} ").replace('.', "\\.");
    for (case, check, body) in [
        ("the host is the address by default", echo(), &*here),
        ("or as named, without port", named("www.example.net"), "host=www.example.net agent"),
        (
            "with a port if that is named",
            named("www.example.net:8443"),
            "host=www.example.net:8443 ",
        ),
        ("a name that is an address is not connected to", named("192.0.2.99"), "host=192.0.2.99 "),
        ("nor one that only looks like it", named("2130706433"), "host=2130706433 "),
        ("it says who it is", echo(), "agent=meridian-probe "),
        ("or what it is told to", headers(&[("User-Agent", "me/1")]), "agent=me/1 "),
        ("it sends header fields", headers(&[("X-Tier", "gold")]), "tier=gold "),
        ("and the method", post, "method=POST "),
        ("no cookies or referrers", echo(), "cookie= referer=\\."),
    ] {
        let found = Lab::plain().found(Check::Http(expecting(check, body)), at).await;
        assert_eq!(found, "ok", "{case}");
    }
    for _ in 0..3 {
        let check = expecting(echo(), "requests=1 ");
        assert_eq!(Lab::plain().found(Check::Http(check), at).await, "ok", "a new connection each");
    }
    let broken = headers(&[("x y", "z")]);
    let found = Lab::plain().found(Check::Http(broken), at).await;
    assert_eq!(found, "protocol: `x y: z` is not a header field");
}

#[tokio::test]
async fn the_time_limit_holds_for_the_whole_probe() {
    let (_nginx, at) = plain_nginx();
    let lab = Lab { timeout: Duration::from_millis(800), ..Lab::plain() };
    let slow = Check::Http(expecting(http("/slow"), "needle"));
    assert_eq!(lab.found(slow, at).await, "timeout: timed out after 800ms", "a dripping body");
    assert_eq!(lab.found(Check::Http(http("/slow")), at).await, "ok", "whose status is fine");

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = silent.local_addr().unwrap();
    let found = lab.found(Check::Http(http("/")), at).await;
    assert_eq!(found, "timeout: timed out after 800ms", "no response at all");
    let https = HttpCheck { scheme: Scheme::Https, ..http("/") };
    let found = lab.found(Check::Http(https), at).await;
    assert_eq!(found, "timeout: timed out after 800ms", "no handshake");
}

/// A server that reads what comes and then does this.
async fn rude_server(reply: &'static [u8], reset: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, reply).await;
            if reset {
                stream.set_zero_linger().unwrap();
            }
        }
    });
    at
}

#[tokio::test]
async fn broken_servers_have_exact_causes() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort";
    for (case, reply, reset, found) in [
        ("reset", &b""[..], true, "protocol: connection reset"),
        ("not HTTP", b"SSH-2.0-x\r\n", false, "protocol: invalid HTTP version parsed"),
        ("cut short", cut, false, "protocol: unexpected end of file"),
    ] {
        let at = rude_server(reply, reset).await;
        let check = Check::Http(expecting(http("/"), "."));
        assert_eq!(Lab::plain().found(check, at).await, found, "{case}");
    }
    let port = free_ports(1)[0];
    let nobody = SocketAddr::new(address(), port);
    let found = Lab::plain().found(Check::Http(http("/")), nobody).await;
    assert_eq!(found, "refused: connection refused");
}

/// An nginx with a server for each certificate, and the address of each.
pub(crate) fn tls_nginx(authority: &Authority) -> (Nginx, Vec<SocketAddr>) {
    let folder = tempfile::tempdir().unwrap();
    let pairs = [
        authority.sign("www.example.net", -1, 60),
        authority.sign("www.example.net", -9, -3),
        authority.sign("www.example.net", -9, 3),
        authority.sign("www.example.net", 2, 60),
        Authority::new("theirs").sign("www.example.net", -1, 60),
        authority.sign(&address().to_string(), -1, 60),
    ];
    let ports = free_ports(pairs.len());
    let server = |(at, (port, pair)): (usize, (&u16, &Pair))| {
        fs::write(folder.path().join(format!("{at}.pem")), &pair.chain).unwrap();
        fs::write(folder.path().join(format!("{at}.key")), &pair.key).unwrap();
        let listen = SocketAddr::new(address(), *port);
        format!(
            "server {{ listen {listen} ssl; {ECHO}\n\
             ssl_certificate {at}.pem; ssl_certificate_key {at}.key; }}\n"
        )
    };
    let servers: String = ports.iter().zip(&pairs).enumerate().map(server).collect();
    let nginx = Nginx::start(folder, &servers, ports[0]);
    (nginx, ports.iter().map(|port| SocketAddr::new(address(), *port)).collect())
}

fn https(name: Option<&str>, verify_certificate: bool, days: Option<u64>) -> Check {
    Check::Http(HttpCheck {
        scheme: Scheme::Https,
        host: name.map(str::to_owned),
        verify_certificate,
        expires_within: days.map(|days| Duration::from_secs(days * 86_400)),
        ..http("/")
    })
}

#[tokio::test]
async fn certificates_are_judged() {
    let authority = Authority::new("ours");
    let (_nginx, servers) = tls_nginx(&authority);
    let [good, expired, ending, early, foreign, by_address] = servers[..] else { panic!() };
    let www = Some("www.example.net");
    for (case, at, check, found) in [
        ("a valid one", good, https(www, true, None), "ok"),
        ("one that holds long enough", good, https(www, true, Some(7)), "ok"),
        (
            "one for another name",
            good,
            https(Some("api.example.net"), true, None),
            "certificate: certificate is not valid for name `api.example.net`",
        ),
        ("that is not verified", good, https(Some("api.example.net"), false, None), "ok"),
        (
            "an expired one",
            expired,
            https(www, true, Some(7)),
            "certificate: certificate expired 2 days ago",
        ),
        ("that is not verified", expired, https(www, false, None), "ok"),
        (
            "but must hold for a week",
            expired,
            https(www, false, Some(7)),
            "expiry: certificate expired 2 days ago",
        ),
        ("one that ends soon", ending, https(www, true, None), "ok"),
        (
            "in less than a week",
            ending,
            https(www, true, Some(7)),
            "expiry: certificate expires in 3 days",
        ),
        ("in more than two days", ending, https(www, true, Some(2)), "ok"),
        (
            "one that is not valid yet",
            early,
            https(www, true, None),
            "certificate: certificate is not valid yet",
        ),
        (
            "one of an authority we do not know",
            foreign,
            https(www, true, None),
            "certificate: certificate is not from a known authority",
        ),
        ("that is not verified", foreign, https(www, false, Some(7)), "ok"),
        ("one for the address itself", by_address, https(None, true, None), "ok"),
        (
            "a name where the address is asked for",
            good,
            https(None, true, None),
            &*format!("certificate: certificate is not valid for name `{}`", address()),
        ),
    ] {
        assert_eq!(Lab::new(authority.tls()).found(check, at).await, found, "{case}");
    }
}

#[tokio::test]
async fn the_name_is_sent_in_tls_and_the_answer_of_a_plain_server_is_no_tls() {
    let authority = Authority::new("ours");
    let (_nginx, servers) = tls_nginx(&authority);
    let Check::Http(check) = https(Some("www.example.net."), true, None) else { panic!() };
    let check = expecting(check, "host=www.example.net\\. .* sni=www.example.net requests=1 ");
    let found = Lab::new(authority.tls()).found(Check::Http(check), servers[0]).await;
    assert_eq!(found, "ok");

    let (_plain, at) = plain_nginx();
    let found = Lab::plain().found(https(None, false, None), at).await;
    assert!(found.starts_with("tls: tls handshake failed: "), "{found}");
    let found = Lab::plain().found(Check::Http(http("/")), servers[0]).await;
    assert_eq!(found, "status: status 400, expected 200-299", "and the other way round");
}

#[tokio::test]
async fn a_hostname_is_probed_at_what_it_resolves_to_and_nowhere_else() {
    let authority = Authority::new("ours");
    let (_nginx, servers) = tls_nginx(&authority);
    let mut lab = Lab::new(authority.tls());
    let dead: IpAddr = "127.77.255.254".parse().unwrap();
    lab.resolves("www.example.net.", &[dead, address()]);
    lab.resolves("localhost.", &[dead]);
    lab.resolves("empty.example.net.", &[]);
    let port = servers[0].port();
    for (name, found) in [
        ("www.example.net.", "ok"),
        ("localhost.", "refused: connection refused"),
        ("empty.example.net.", "resolve: `empty.example.net.` does not resolve: no addresses"),
    ] {
        let outcome = lab.probe(https(None, true, None), Address::Host(host(name)), port).await;
        assert_eq!(words(&outcome), found, "{name}");
    }
}
