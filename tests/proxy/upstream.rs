//! How endpoints are spoken to: TLS, HTTP/2, PROXY headers in both directions.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Front;
use crate::certificates::Authority;
use crate::origin::{Origin, Talk, curl, get};
use crate::support::peers::Nginx;
use crate::support::process::output;
use crate::support::{free_address, free_beside, wait_for};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";

/// A fleet of one pool and one route, whose upstream holds this.
pub(crate) fn fleet(front: &Front, addresses: &[IpAddr], port: u16, upstream: &str, more: &str) {
    let endpoints: Vec<String> =
        addresses.iter().map(|ip| format!("{{ region = \"eu\", address = \"{ip}\" }}")).collect();
    front.fleet(&format!(
        "[pool.web]\nendpoints = [{}]\n[[route]]\npool = \"web\"\n{more}\n\
         [route.upstream]\nport = {port}\n{upstream}\n",
        endpoints.join(", ")
    ));
}

/// An nginx of these listener options and settings, which replies with `shown`.
fn nginx(front: &Front, options: &str, settings: &str, shown: &str) -> (Nginx, SocketAddr) {
    let address = free_address(front.site.address(10).into());
    let servers = format!(
        "server {{ listen {address} {options};\n{settings}\n\
         location / {{ return 200 '{shown}'; }} }}"
    );
    (Nginx::with_servers(&front.site.path(""), address, servers), address)
}

fn made(meridian: &crate::support::meridian::Meridian, result: &str) -> f64 {
    let label = format!("result=\"{result}\"");
    meridian.metric("meridian_proxy_upstream_connections_total", &[&label])
}

/// Lays out the certificates of both sides, and gives the settings of an nginx that asks for one.
fn certified(front: &Front, authority: &Authority, clients: &Authority) -> String {
    let server = authority.sign("web.test", -1, 30);
    let own = clients.sign("proxy.test", -1, 30);
    for (name, text) in [
        ("config/ca.pem", authority.pem()),
        ("config/own.pem", own.chain),
        ("config/own.key", own.key),
        ("server.pem", server.chain),
        ("server.key", server.key),
        ("clients.pem", clients.pem()),
    ] {
        front.site.write(name, &text);
    }
    let file = |name: &str| front.site.path(name).display().to_string();
    format!(
        "ssl_certificate {}; ssl_certificate_key {}; ssl_client_certificate {};\n\
         ssl_verify_client on; keepalive_timeout 0;",
        file("server.pem"),
        file("server.key"),
        file("clients.pem")
    )
}

#[test]
fn endpoints_over_tls_are_verified_and_shown_a_certificate() {
    let authority = Authority::new("endpoints");
    let clients = Authority::new("clients");
    for (case, upstream, shown) in [
        (
            "trusted, with a certificate",
            "[route.upstream.tls]\nca = \"ca.pem\"\nserver_name = \"web.test\"\n\
             chain = \"own.pem\"\nkey = \"own.key\"",
            Some("web.test CN=rcgen self signed cert"),
        ),
        (
            "without a certificate",
            "[route.upstream.tls]\nca = \"ca.pem\"\nserver_name = \"web.test\"",
            Some("400"),
        ),
        (
            "another name",
            "[route.upstream.tls]\nca = \"ca.pem\"\nserver_name = \"other.test\"\n\
             chain = \"own.pem\"\nkey = \"own.key\"",
            None,
        ),
        (
            "by address",
            "[route.upstream.tls]\nca = \"ca.pem\"\nchain = \"own.pem\"\nkey = \"own.key\"",
            None,
        ),
        ("another authority", "tls = true", None),
        (
            "anyone",
            "[route.upstream.tls]\nverify = false\nchain = \"own.pem\"\nkey = \"own.key\"",
            Some(" CN=rcgen self signed cert"),
        ),
    ] {
        let front = Front::new("", "");
        let settings = certified(&front, &authority, &clients);
        let shown_by = "$ssl_server_name $ssl_client_s_dn $ssl_session_reused";
        let (_server, address) = nginx(&front, "ssl", &settings, shown_by);
        fleet(&front, &[address.ip()], address.port(), upstream, "retry = { attempts = 1 }");
        let meridian = front.serve();
        let reply = get(front.http, "web.test", "/");
        match shown {
            Some("400") => assert_eq!(reply.status, 400, "{case}: {reply:?}"),
            Some(shown) => {
                assert_eq!(reply.text(), format!("{shown} ."), "{case}: {reply:?}");
                // Each request is a new connection, and after the first ones of both threads
                // a session is resumed.
                wait_for("a session that is resumed", || {
                    get(front.http, "web.test", "/").text().ends_with(" r").then_some(())
                });
            }
            None => {
                let cause = reply.values("x-meridian-cause");
                assert_eq!((reply.status, cause), (502, vec!["connect"]), "{case}");
                assert_eq!(made(&meridian, "failed"), 1.0, "{case}");
            }
        }
    }
}

#[test]
fn endpoints_of_http_2_share_connections_and_lose_no_request_when_those_end() {
    let authority = Authority::new("endpoints");
    for secure in [false, true] {
        let front = Front::new("", "");
        let server = authority.sign("web.test", -1, 30);
        front.site.write("config/ca.pem", &authority.pem());
        front.site.write("server.pem", &server.chain);
        front.site.write("server.key", &server.key);
        let file = |name: &str| front.site.path(name).display().to_string();
        let (options, tls, settings) = if secure {
            let tls = "[route.upstream.tls]\nca = \"ca.pem\"\nserver_name = \"web.test\"";
            let pair = [file("server.pem"), file("server.key")];
            let pair = format!("ssl_certificate {}; ssl_certificate_key {};", pair[0], pair[1]);
            ("ssl http2", tls, pair)
        } else {
            ("http2", "", String::new())
        };
        // It sends GOAWAY after so many requests.
        let settings = format!("{settings} keepalive_requests 50;");
        let shown = "$server_protocol $host $http_te $http_cookie";
        let (_server, address) = nginx(&front, options, &settings, shown);
        let upstream = format!("protocol = \"http2\"\n{tls}");
        fleet(&front, &[address.ip()], address.port(), &upstream, "");
        let meridian = front.serve();
        let mut talk = Talk::to(front.http);
        talk.say(
            "GET /x?y HTTP/1.1\r\nHost: web.test:80\r\nTE: trailers\r\nCookie: a=b\r\n\
             Connection: keep-alive, x-hop\r\nx-hop: 1\r\n\r\n",
        );
        let reply = talk.hear().unwrap();
        assert_eq!(reply.text(), "HTTP/2.0 web.test trailers a=b", "{reply:?}");
        for version in ["--h1", "--no-tls-proto=h2c"] {
            let mut load = Command::new("h2load");
            let url = format!("http://{}/", front.http);
            load.args(["-n", "1000", "-c", "8", "-m", "10", version, &url]);
            let told = output(&mut load);
            assert!(told.contains("1000 succeeded, 0 failed"), "{secure} {version}: {told}");
            assert!(told.contains("1000 2xx"), "{secure} {version}: {told}");
        }
        let made = made(&meridian, "made");
        assert!((40.0..200.0).contains(&made), "{made} connections for 2001 requests, 50 each");
        // What shares a connection cannot become a tunnel, and is asked for as a plain request.
        let mut talk = Talk::to(front.http);
        talk.say(
            "GET / HTTP/1.1\r\nHost: web.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        assert_eq!(talk.hear().unwrap().status, 200);
    }
}

#[test]
fn a_stream_that_an_endpoint_refuses_goes_to_another_one() {
    let front = Front::new("", "");
    let [a, b] = [10, 11].map(|number| IpAddr::from(front.site.address(number)));
    let refusing = std::net::TcpListener::bind((a, 0)).unwrap();
    let port = refusing.local_addr().unwrap().port();
    let refused = Arc::new(AtomicU32::new(0));
    let count = refused.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            refusing.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(refusing).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let count = count.clone();
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        count.fetch_add(1, Ordering::Relaxed);
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                    }
                });
            }
        });
    });
    let shown = "served";
    let servers =
        format!("server {{ listen {b}:{port} http2; location / {{ return 200 {shown}; }} }}");
    let _good = Nginx::with_servers(&front.site.path(""), (b, port).into(), servers);
    fleet(&front, &[a, b], port, "protocol = \"http2\"", "retry = { budget = 1.0 }");
    let _meridian = front.serve();
    for round in 0..8 {
        // POST may not be sent twice, but what was not looked at was not sent.
        let mut talk = Talk::to(front.http);
        let body = "x".repeat(round % 2 * 5_000);
        let head = format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}", body.len());
        talk.say(format!("{head}\r\n\r\n{body}"));
        assert_eq!(talk.hear().unwrap().text(), shown, "{round}");
    }
    assert!(refused.load(Ordering::Relaxed) > 0);
}

#[test]
fn endpoints_are_told_for_whom_a_connection_is() {
    for version in ["v1", "v2"] {
        let front = Front::new("", "");
        let shown =
            "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_port $connection";
        let (_server, address) = nginx(&front, "proxy_protocol", "", shown);
        let upstream = format!("proxy_protocol = \"{version}\"");
        fleet(&front, &[address.ip()], address.port(), &upstream, "");
        let _meridian = front.serve();
        let ask = |talk: &mut Talk| {
            talk.say("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
            talk.hear().unwrap().text()
        };
        let mut talks: Vec<Talk> = (0..6).map(|_| Talk::to(front.http)).collect();
        for talk in &mut talks {
            let own = talk.stream.local_addr().unwrap();
            let told = ask(talk);
            let expected = format!("{} {} {} ", own.ip(), own.port(), front.http.port());
            assert!(told.starts_with(&expected), "{version}: {told}, {expected}");
            // Its next request has the same connection.
            assert_eq!(ask(talk), told, "{version}");
        }
    }
}

#[test]
fn listed_proxies_say_who_the_client_is_and_nobody_else_does() {
    let front = Front::new(
        "proxy_protocol = [\"127.0.0.0/8\"]\nlimits = { header_timeout = \"1s\", per_client = 2 }",
        "",
    );
    let origin = Origin::saying(front.site.address(10), OK);
    let ip = front.site.address(10).into();
    fleet(&front, &[ip], origin.address.port(), "", "");
    let meridian = front.serve();
    let request = "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n";
    let line = "PROXY TCP4 192.0.2.7 198.51.100.1 4000 80\r\n";
    let ask = |header: &[u8]| {
        let mut talk = Talk::to(front.http);
        talk.say([header, request.as_bytes()].concat());
        (talk.hear().map(|reply| reply.status), talk)
    };
    let (status, first) = ask(line.as_bytes());
    assert_eq!(status, Some(200));
    assert_eq!(origin.asked()[0].values("x-forwarded-for"), ["192.0.2.7"]);
    // Version 2, for itself.
    let own = [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20, 0, 0, 0]].concat();
    assert_eq!(ask(&own).0, Some(200));
    assert_eq!(origin.asked()[0].values("x-forwarded-for"), ["127.0.0.1"]);
    // The limits are those of the client.
    let (_, second) = ask(line.as_bytes());
    assert_eq!(ask(line.as_bytes()).0, None);
    assert_eq!(ask(line.replace(".7", ".8").as_bytes()).0, Some(200));
    drop((first, second));
    for header in ["", "PROXY TCP4 x y\r\n", "\u{16}\u{3}\u{1}"] {
        assert_eq!(ask(header.as_bytes()).0, None, "{header}");
    }
    let closed = |reason: &str| {
        let reason = format!("reason=\"{reason}\"");
        meridian.metric("meridian_proxy_connections_closed_total", &[&reason])
    };
    assert_eq!((closed("proxy_header"), closed("client_full")), (3.0, 1.0));
    let mut slow = Talk::to(front.http);
    slow.say("PROXY TCP4 192");
    assert!(slow.ends());
    assert_eq!(closed("header_timeout"), 1.0);
}

#[test]
fn a_proxy_header_of_a_peer_that_is_not_listed_is_no_request() {
    let front = Front::new("proxy_protocol = [\"10.0.0.0/8\"]", "");
    let origin = Origin::saying(front.site.address(10), OK);
    fleet(&front, &[front.site.address(10).into()], origin.address.port(), "", "");
    let _meridian = front.serve();
    let mut talk = Talk::to(front.http);
    talk.say("PROXY TCP4 192.0.2.7 198.51.100.1 4000 80\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(talk.hear().unwrap().status, 400);
    assert!(origin.asked().is_empty());
}

#[test]
fn a_proxy_header_comes_before_tls() {
    let front = Front::new("proxy_protocol = [\"127.0.0.0/8\"]", "");
    let https = free_beside(front.http.ip(), &[front.http, front.site.dns, front.site.admin]);
    let node = std::fs::read_to_string(front.site.path("config/node.toml")).unwrap();
    let listen = format!("[proxy]\nhttps = [\"{https}\"]\ncertificates = \"certs/\"\n");
    front.site.write("config/node.toml", &node.replace("[proxy]\n", &listen));
    let authority = Authority::new("front");
    let pair = authority.sign("a.test", -1, 30);
    front.site.write("config/certs/a.pem", &pair.chain);
    front.site.write("config/certs/a.key", &pair.key);
    front.site.write("ca.pem", &authority.pem());
    let origin = Origin::saying(front.site.address(10), OK);
    fleet(&front, &[front.site.address(10).into()], origin.address.port(), "", "");
    let _meridian = front.serve();
    let ca = front.site.path("ca.pem").display().to_string();
    for version in ["--http1.1", "--http2"] {
        let to = format!("a.test:{}:{}", https.port(), https.ip());
        let url = format!("https://a.test:{}/", https.port());
        assert_eq!(
            curl(&["--haproxy-protocol", version, "--cacert", &ca, "--resolve", &to, &url]),
            "yes"
        );
        assert_eq!(origin.asked()[0].values("x-forwarded-for"), ["127.0.0.1"]);
    }
}
