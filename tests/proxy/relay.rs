//! Relays: connections and datagrams that pass through to real servers.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::spawn;
use std::time::Duration;

use crate::Front;
use crate::certificates::Authority;
use crate::origin::curl;
use crate::support::dns::{Client, dig};
use crate::support::peers::Nginx;
use crate::support::site::zone;
use crate::support::wire::Ask;
use crate::support::{PATIENCE, free_address, free_beside, wait_for};

/// A front whose proxy has this relay, with `LISTEN` as its address, and pools of these addresses.
fn front(relay: &str, pools: &[(&str, &[u8])]) -> (Front, SocketAddr) {
    let front = Front::new("", "");
    let own = [front.http, front.site.dns, front.site.admin];
    let listen = free_beside(front.http.ip(), &own);
    let node = std::fs::read_to_string(front.site.path("config/node.toml")).unwrap();
    let relay = relay.replace("LISTEN", &listen.to_string());
    let node = node.replace("workers = 2\n\n[probe]", &format!("workers = 2\n{relay}\n[probe]"));
    assert!(node.contains(&relay), "{node}");
    front.site.write("config/node.toml", &node);
    let mut fleet = String::new();
    for (name, addresses) in pools {
        let endpoints = addresses.iter().map(|number| {
            format!("{{ region = \"eu\", address = \"{}\" }}, ", front.site.address(*number))
        });
        let endpoints: String = endpoints.collect();
        writeln!(fleet, "[pool.{name}]\nendpoints = [{endpoints}]").unwrap();
    }
    front.fleet(&fleet);
    (front, listen)
}

/// Replies to each connection when its client has ended: what came, twice.
fn doubling(address: SocketAddr) {
    let listener = TcpListener::bind(address).unwrap();
    spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            spawn(move || {
                let mut all = Vec::new();
                if stream.read_to_end(&mut all).is_ok() {
                    all.extend_from_within(..);
                    // The client may be gone.
                    let _ = stream.write_all(&all);
                }
            });
        }
    });
}

/// Sends each datagram back with a word before it.
fn echo(address: SocketAddr, word: &'static str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    let own = socket.try_clone().unwrap();
    spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, client)) = own.recv_from(&mut buffer) {
            if &buffer[..length] == b"end" {
                return;
            }
            let reply = [word.as_bytes(), &buffer[..length]].concat();
            let _ = own.send_to(&reply, client);
        }
    });
    socket
}

#[test]
fn connections_pass_through_to_real_servers_and_their_ends_are_passed_on() {
    let port = free_address("127.0.0.1".parse().unwrap()).port();
    let relay = format!(
        "http = []\ntcp = [{{ name = \"web\", listen = \"LISTEN\", pool = \"web\", \
         port = {port}, balance = \"round-robin\" }}]"
    );
    let (front, listen) = front(&relay, &[("web", &[10, 11, 12])]);
    let node = std::fs::read_to_string(front.site.path("config/node.toml")).unwrap();
    let http = format!("http = [\"{}\"]\n", front.http);
    front.site.write("config/node.toml", &node.replace(&http, ""));
    let mut servers: Vec<Nginx> = [10, 11]
        .map(|number| {
            let address = (front.site.address(number), port).into();
            Nginx::start(&front.site.path(""), address)
        })
        .into();
    doubling((front.site.address(12), port).into());
    let meridian = front.serve();
    // Every client is served, the first by some, the others by the others.
    let mut served = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(listen).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let doubled = format!("{request}{request}");
        served.insert(
            if reply == doubled { "doubled" } else { reply.lines().last().unwrap() }.to_owned(),
        );
    }
    assert_eq!(served.len(), 3, "{served:?}");
    wait_for("the connections to end", || {
        let ended = meridian.metric("meridian_proxy_relayed_connections_total", &["end=\"ended\""]);
        (ended == 20.0).then_some(())
    });
    // A server that is gone costs time, and no connection.
    servers.clear();
    let big: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    for _ in 0..6 {
        let mut stream = TcpStream::connect(listen).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut writer, sent) = (stream.try_clone().unwrap(), big.clone());
        let writing = spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).unwrap();
        writing.join().unwrap();
        assert!(reply == [&big[..], &big].concat(), "{} octets", reply.len());
    }
    assert!(meridian.metric("meridian_proxy_retries_total", &["route=\"web\""]) >= 2.0);
    let octets = |direction| {
        meridian.metric("meridian_proxy_body_bytes_total", &["route=\"web\"", direction])
    };
    assert!(octets("direction=\"received\"") >= 18e6 && octets("direction=\"sent\"") >= 36e6);
    assert_eq!(meridian.metric("meridian_proxy_requests_in_flight", &["pool=\"web\""]), 0.0);
}

#[test]
fn endpoints_are_told_of_the_client_and_silence_ends_a_connection() {
    let (front, listen) = front(
        "tcp = [{ name = \"db\", listen = \"LISTEN\", pool = \"db\", port = PORT, \
         idle = \"300ms\", proxy_protocol = \"v1\", max_connections = 1 }]",
        &[("db", &[10])],
    );
    let server = TcpListener::bind((front.site.address(10), 0)).unwrap();
    let node = std::fs::read_to_string(front.site.path("config/node.toml")).unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    front.site.write("config/node.toml", &node.replace("PORT", &port));
    let meridian = front.serve();
    let mut client = TcpStream::connect(listen).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"hello").unwrap();
    let (mut endpoint, _) = server.accept().unwrap();
    let from = client.local_addr().unwrap();
    let line = format!(
        "PROXY TCP4 {} {} {} {}\r\nhello",
        from.ip(),
        listen.ip(),
        from.port(),
        listen.port()
    );
    let mut told = vec![0; line.len()];
    endpoint.read_exact(&mut told).unwrap();
    assert_eq!(String::from_utf8_lossy(&told), line);
    // There is room for one.
    let mut second = TcpStream::connect(listen).unwrap();
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(second.read(&mut [0]).unwrap_or(0), 0);
    let full = ["route=\"db\"", "cause=\"overloaded\""];
    assert_eq!(meridian.metric("meridian_proxy_failures_total", &full), 1.0);
    // Octets in either direction keep it.
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(150));
        endpoint.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert_eq!(endpoint.read(&mut [0]).unwrap(), 0);
    let idle = ["route=\"db\"", "end=\"idle\""];
    assert_eq!(meridian.metric("meridian_proxy_relayed_connections_total", &idle), 1.0);
}

#[test]
fn tls_goes_by_the_name_that_is_asked_for_to_whoever_ends_it() {
    let port = free_address("127.0.0.1".parse().unwrap()).port();
    let relay = format!(
        "tcp = [{{ name = \"tls\", listen = \"LISTEN\", port = {port}, sni = [\
         {{ hosts = [\"a.test\"], pool = \"one\" }}, \
         {{ hosts = [\"*.b.test\", \"b.test\"], pool = \"two\" }}] }}]"
    );
    let (front, listen) = front(&relay, &[("one", &[10]), ("two", &[11])]);
    let authority = Authority::new("endpoints");
    front.site.write("ca.pem", &authority.pem());
    let _servers = [(10, "a.test"), (11, "*.b.test")].map(|(number, name)| {
        let pair = authority.sign(name, -1, 30);
        front.site.write(&format!("{number}.pem"), &pair.chain);
        front.site.write(&format!("{number}.key"), &pair.key);
        let file = |ending| front.site.path(&format!("{number}.{ending}")).display().to_string();
        let address: SocketAddr = (front.site.address(number), port).into();
        let servers = format!(
            "server {{ listen {address} ssl; ssl_certificate {}; ssl_certificate_key {};\n\
             location / {{ return 200 'served for $ssl_server_name'; }} }}",
            file("pem"),
            file("key")
        );
        Nginx::with_servers(&front.site.path(""), address, servers)
    });
    let meridian = front.serve();
    let ca = front.site.path("ca.pem").display().to_string();
    for name in ["a.test", "x.b.test"] {
        let to = format!("{name}:{}:{}", listen.port(), listen.ip());
        let url = format!("https://{name}:{}/", listen.port());
        let said = curl(&["--cacert", &ca, "--resolve", &to, &url]);
        assert_eq!(said, format!("served for {name}"));
    }
    // What no endpoint is for is told so, what is no TLS is closed.
    let client = std::process::Command::new("openssl")
        .args(["s_client", "-servername", "c.test", "-connect", &listen.to_string()])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&client.stderr).to_lowercase();
    assert!(!client.status.success() && told.contains("unrecognized name"), "{told}");
    let mut plain = TcpStream::connect(listen).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(plain.read(&mut [0]).unwrap_or(0), 0);
    for cause in ["cause=\"no-route\"", "cause=\"malformed\""] {
        let failures = meridian.metric("meridian_proxy_failures_total", &["route=\"tls\"", cause]);
        assert_eq!(failures, 1.0, "{cause}");
    }
}

#[test]
fn datagrams_go_to_one_endpoint_until_it_is_gone_and_replies_come_back() {
    let port = free_address("127.0.0.1".parse().unwrap()).port();
    let relay = format!(
        "udp = [{{ name = \"echo\", listen = \"LISTEN\", pool = \"echo\", port = {port}, \
         balance = \"round-robin\", idle = \"1s\" }}]"
    );
    let (front, listen) = front(&relay, &[("echo", &[10, 11])]);
    let places = [10, 11].map(|number| SocketAddr::from((front.site.address(number), port)));
    let servers = [echo(places[0], "a:"), echo(places[1], "b:")];
    let meridian = front.serve();
    let client = || {
        let socket = UdpSocket::bind((listen.ip(), 0)).unwrap();
        socket.connect(listen).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        socket
    };
    let ask = |socket: &UdpSocket| {
        let mut buffer = [0; 100];
        socket.send(b"ping").unwrap();
        let length = socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    let clients: Vec<UdpSocket> = (0..20).map(|_| client()).collect();
    let firsts: Vec<String> = clients.iter().map(|client| ask(client).unwrap()).collect();
    for word in ["a:ping", "b:ping"] {
        assert!(firsts.iter().filter(|said| *said == word).count() >= 4, "{firsts:?}");
    }
    for (client, first) in clients.iter().zip(&firsts) {
        assert_eq!(ask(client).as_ref(), Some(first), "it stays where it was");
    }
    assert_eq!(meridian.metric("meridian_proxy_flows", &["route=\"echo\""]), 20.0);
    // One ends: after the datagram that finds out, its clients are served by the other.
    servers[0].send_to(b"end", places[0]).unwrap();
    let [gone, kept] = servers;
    drop(gone);
    wait_for("the socket to close", || UdpSocket::bind(places[0]).ok().map(drop));
    for client in &clients {
        let served = wait_for("another endpoint", || ask(client));
        assert_eq!(served, "b:ping");
    }
    let datagrams = |result| meridian.metric("meridian_proxy_datagrams_total", &[result]);
    assert!(datagrams("result=\"sent\"") >= 60.0 && datagrams("result=\"received\"") >= 60.0);
    wait_for("silent flows to go", || {
        (meridian.metric("meridian_proxy_flows", &["route=\"echo\""]) == 0.0).then_some(())
    });
    drop(kept);
}

#[test]
fn dns_is_served_through_a_relay_of_datagrams_and_one_of_connections() {
    let (front, listen) = front(
        "tcp = [{ listen = \"LISTEN\", pool = \"dns\", port = PORT }]\n\
         udp = [{ listen = \"LISTEN\", pool = \"dns\", port = PORT, flows = 4 }]",
        &[("dns", &[1])],
    );
    let node = std::fs::read_to_string(front.site.path("config/node.toml")).unwrap();
    let port = front.site.dns.port().to_string();
    let dns = format!("{}[dns]\nlisten = [\"{}\"]\n", node.replace("PORT", &port), front.site.dns);
    front.site.write("config/node.toml", &dns);
    front.site.write("zones/app.test.zone", &zone("app.test.", 1, "www IN A 192.0.2.80"));
    let meridian = front.serve();
    // More clients than flows: whoever was silent longest makes room.
    for _ in 0..40 {
        let answer = Client::new(listen).ask(&Ask::new("www.app.test", 1));
        assert_eq!(answer.addresses().len(), 1);
    }
    assert_eq!(dig(listen, &["www.app.test", "+tcp"]), ["192.0.2.80"]);
    let flows = format!("route=\"udp {listen}\"");
    assert!(meridian.metric("meridian_proxy_flows", &[&flows]) <= 4.0);
}
