//! The `http` check over HTTP/2, with real nginx.

use std::fs;
use std::net::SocketAddr;

use meridian::model::{Check, HttpCheck, HttpVersion, Reach, Scheme};

use crate::certificates::Authority;
use crate::http::{expecting, tls_nginx};
use crate::nginx::{Nginx, address, free_ports};
use crate::{Lab, http};

/// What a server says of the request it got.
const ECHO: &str = "return 200 \"protocol=$server_protocol host=$host from=$remote_addr \
                    agent=$http_user_agent\";";

/// One server in the clear with HTTP/2, one with TLS, and one in the clear without.
fn servers(authority: &Authority) -> (Nginx, [SocketAddr; 3]) {
    let folder = tempfile::tempdir().unwrap();
    let pair = authority.sign("www.example.net", -1, 60);
    fs::write(folder.path().join("a.pem"), pair.chain).unwrap();
    fs::write(folder.path().join("a.key"), pair.key).unwrap();
    let ports = free_ports(3);
    let [clear, secure, old] = [0, 1, 2].map(|at| SocketAddr::new(address(), ports[at]));
    let servers = format!(
        "server {{ listen {clear} http2; {ECHO} }}\n\
         server {{ listen {secure} ssl http2; {ECHO}\n\
         ssl_certificate a.pem; ssl_certificate_key a.key; }}\n\
         server {{ listen {old}; {ECHO} }}\n"
    );
    (Nginx::start(folder, &servers, ports[0]), [clear, secure, old])
}

fn second(scheme: Scheme) -> HttpCheck {
    let host = Some("www.example.net".to_owned());
    HttpCheck { scheme, version: HttpVersion::Two, host, ..http("/") }
}

#[tokio::test]
async fn requests_are_made_in_the_version_asked_for() {
    let authority = Authority::new("ours");
    let (_nginx, [clear, secure, old]) = servers(&authority);
    let mut lab = Lab::new(authority.tls());
    lab.reach = Reach { source: "127.0.0.9".parse().ok(), ..Reach::default() };
    let two = "^protocol=HTTP/2.0 host=www.example.net from=127.0.0.9 agent=meridian-probe$";
    for (case, at, check) in
        [("in the clear", clear, second(Scheme::Http)), ("over TLS", secure, second(Scheme::Https))]
    {
        let check = Check::Http(expecting(check, two));
        assert_eq!(lab.found(check, at).await, "ok", "{case}");
    }
    let one = HttpCheck { version: HttpVersion::One, ..second(Scheme::Https) };
    let check = Check::Http(expecting(one, "^protocol=HTTP/1.1 "));
    assert_eq!(lab.found(check, secure).await, "ok", "HTTP/1.1 from a server of both");
    let (_first, first) = tls_nginx(&authority);
    let found = lab.found(Check::Http(second(Scheme::Https)), first[0]).await;
    assert_eq!(found, "tls: tls alert received: NoApplicationProtocol", "HTTP/1.1 alone");
    let found = lab.found(Check::Http(second(Scheme::Http)), old).await;
    assert!(found.starts_with("protocol: "), "HTTP/1.1 alone, in the clear: {found}");
}
