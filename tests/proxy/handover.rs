//! One process hands its sockets over to the next, and no client notices.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use h3::error::{Code, StreamError};
use http::Request;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::Front;
use crate::certificates::Authority;
use crate::origin::{Origin, Talk};
use crate::quic_client::Http3;
use crate::support::dns::Client;
use crate::support::meridian::Meridian;
use crate::support::site::{Site, zone};
use crate::support::wire::Ask;
use crate::support::{PATIENCE, free_beside, wait_for};
use crate::tunnels::{connect, echo, fleet, open, said};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";

/// What comes after the word in each line of a log that has it.
fn numbers(log: &str, word: &str) -> Vec<u32> {
    let found = log.split(word).skip(1);
    found.map(|rest| rest.split_whitespace().next().unwrap().parse().unwrap()).collect()
}

/// Sends a signal to a process of any parent.
fn signal(process: u32, name: &str) {
    // It may have ended already.
    let _ = Command::new("kill").args([format!("-{name}"), process.to_string()]).status();
}

/// The processes that followed one another; those that are left end with the test.
struct Line {
    first: Meridian,
}

impl Line {
    fn successors(&self) -> Vec<u32> {
        numbers(&self.first.process.log(), "handed over: answering what has arrived process=")
    }

    /// Has the process of the moment hand over, and waits until it has.
    fn hand_over(&self) {
        let before = self.successors();
        signal(before.last().copied().unwrap_or(self.first.process.id()), "USR2");
        wait_for("the next process", || (self.successors().len() > before.len()).then_some(()));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.successors().into_iter().for_each(|process| signal(process, "KILL"));
    }
}

/// One client: what it asks, how often it was served, and what failed.
type Asking = (&'static str, Arc<AtomicU32>, JoinHandle<Vec<String>>);

/// Clients that ask again and again.
#[derive(Default)]
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<Asking>,
}

impl Load {
    fn add(
        &mut self,
        name: &'static str,
        mut ask: impl FnMut() -> Result<(), String> + Send + 'static,
    ) {
        let (stop, count) = (self.stop.clone(), Arc::<AtomicU32>::default());
        let counted = count.clone();
        let client = spawn(move || {
            let mut failures = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                match ask() {
                    Ok(()) => drop(counted.fetch_add(1, Ordering::Relaxed)),
                    Err(error) => failures.push(error),
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            failures
        });
        self.clients.push((name, count, client));
    }

    /// Waits until each client was served so many times more.
    fn wait(&self, more: u32) {
        for (name, count, _) in &self.clients {
            let first = count.load(Ordering::Relaxed);
            wait_for(name, || (count.load(Ordering::Relaxed) >= first + more).then_some(()));
        }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for (name, _, client) in self.clients {
            let failures = client.join().unwrap();
            let first = failures.first();
            assert!(failures.is_empty(), "{name}: {} failed, first {first:?}", failures.len());
        }
    }
}

/// A node with every sort of listener that is handed over; DNS, HTTP, HTTPS, the relay.
fn site() -> (Site, [SocketAddr; 4], (Origin, UdpSocket), Arc<Authority>) {
    let site = Site::new("eu");
    let [tls, doh, quic] = site.encrypt("eu");
    let mut taken = vec![site.dns, site.admin, tls, doh, quic];
    let [http, https, relay] = [(); 3].map(|()| {
        taken.push(free_beside(site.dns.ip(), &taken));
        *taken.last().unwrap()
    });
    let origin = Origin::start(site.address(10), |asked, stream| {
        if asked.head.starts_with("GET /slow ") {
            std::thread::sleep(Duration::from_millis(150));
        }
        stream.write_all(OK.as_bytes()).is_ok()
    });
    let port = origin.address.port();
    let echo = UdpSocket::bind(origin.address).unwrap();
    let node = std::fs::read_to_string(site.path("config/node.toml")).unwrap();
    let role = format!(
        "[proxy]\nhttp = [\"{http}\"]\nhttps = [\"{https}\"]\nhttp3 = [\"{https}\"]\n\
         certificates = \"certs/\"\nworkers = 2\ndrain = \"5s\"\n\
         tcp = [{{ listen = \"{relay}\", pool = \"web\", port = {port} }}]\n\
         udp = [{{ listen = \"{relay}\", pool = \"web\", port = {port} }}]\n"
    );
    site.write("config/node.toml", &format!("{node}{role}"));
    let authority = Authority::new("front");
    let pair = authority.sign("a.test", -1, 30);
    site.write("config/certs/a.pem", &pair.chain);
    site.write("config/certs/a.key", &pair.key);
    site.write("ca.pem", &authority.pem());
    let authority = Arc::new(authority);
    site.write(
        "config/fleet.toml",
        &format!(
            "{}[monitor.up]\nkind = \"tcp\"\nport = {port}\ninterval = \"1s\"\n\
             timeout = \"900ms\"\n[pool.web]\nmonitors = [\"up\"]\nendpoints = [\
             {{ region = \"eu\", address = \"{}\" }}, {{ region = \"eu\", address = \"{}\" }}]\n\
             [[route]]\npool = \"web\"\nupstream = {{ port = {port} }}\n",
            crate::REGIONS,
            site.address(10),
            site.address(11),
        ),
    );
    site.write("zones/app.test.zone", &zone("app.test.", 1, ""));
    site.write("zones/app.test.toml", "version = 1\n[service.www]\npool = \"web\"\n");
    (site, [doh, http, https, relay], (origin, echo), authority)
}

/// Clients of HTTP/3.
fn load_http3(load: &mut Load, authority: &Arc<Authority>, https: SocketAddr) {
    for (name, path, stays) in [
        ("HTTP/3", "/", false),
        ("HTTP/3 on connections that stay", "/", true),
        ("slow requests over HTTP/3", "/slow", true),
    ] {
        let (authority, mut open) = (authority.clone(), None);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        load.add(name, move || {
            let asked = ask_http3(&mut open, https, path, &authority);
            let asked = async { tokio::time::timeout(Duration::from_secs(10), asked).await };
            let asked = runtime.block_on(asked);
            if !stays {
                open = None;
            }
            asked.map_err(|_| "no reply in time".to_owned())?
        });
    }
}

/// Asks over HTTP/3, by a connection that was open before where it takes another request.
async fn ask_http3(
    open: &mut Option<Http3>,
    at: SocketAddr,
    path: &str,
    authority: &Authority,
) -> Result<(), String> {
    loop {
        let again = open.is_some();
        if open.is_none() {
            let opened = Http3::open(at, "a.test", authority).await;
            *open = Some(opened.map_err(|error| format!("no connection: {error:?}"))?);
        }
        let Some(client) = open else { continue };
        let request = Request::get(format!("https://a.test{path}")).body(()).unwrap();
        let asked = client.requests.send_request(request).await;
        let asked = async {
            let mut stream = asked.map_err(|_| None)?;
            stream.finish().await.map_err(Some)?;
            stream.recv_response().await.map_err(Some)
        };
        match asked.await {
            Ok(reply) if reply.status() == 200 => return Ok(()),
            Ok(reply) => return Err(format!("{reply:?}")),
            // RFC 9114 section 5.2: what was not taken in may be asked elsewhere.
            Err(None) if again => *open = None,
            Err(Some(StreamError::RemoteTerminate { code: Code::H3_REQUEST_REJECTED, .. }))
                if again =>
            {
                *open = None;
            }
            Err(error) => {
                *open = None;
                return Err(format!("{error:?}"));
            }
        }
    }
}

/// Clients of all listeners.
fn load(site: &Site, [doh, http, https, relay]: [SocketAddr; 4]) -> Load {
    let mut load = Load::default();
    let up = std::net::IpAddr::from(site.address(10));
    let dns = site.dns;
    let right = move |reply: crate::support::wire::Reply| match reply.addresses()[..] {
        [only] if only == up => Ok(()),
        ref other => Err(format!("{other:?}")),
    };
    let ask = || Ask::new("www.app.test", 1);
    let mut client = Client::new(dns);
    client.set_timeout(PATIENCE);
    load.add("DNS over UDP", move || client.try_ask(&ask()).and_then(right));
    load.add("DNS over UDP, new sockets", move || Client::new(dns).try_ask(&ask()).and_then(right));
    load.add("DNS over TCP", move || Client::new(dns).ask_tcp(&ask()).and_then(right));
    let exchange = |at: SocketAddr, request: &str| -> std::io::Result<String> {
        let mut stream = TcpStream::connect(at)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut reply = [0; 1024];
        let length = stream.read(&mut reply)?;
        Ok(String::from_utf8_lossy(&reply[..length]).into_owned())
    };
    for (name, at) in [("HTTP", http), ("a relay of TCP", relay)] {
        load.add(name, move || match exchange(at, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") {
            Ok(reply) if reply.starts_with("HTTP/1.1 200 ") => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
    let mut talk: Option<Talk> = None;
    load.add("HTTP on connections that stay", move || {
        let mut open = talk.take().unwrap_or_else(|| Talk::to(http));
        open.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let reply = open.hear().ok_or("no reply")?;
        // It says when it is to be the last.
        if reply.values("connection") != ["close"] {
            talk = Some(open);
        }
        if reply.status == 200 { Ok(()) } else { Err(reply.head) }
    });
    let socket = UdpSocket::bind((relay.ip(), 0)).unwrap();
    socket.connect(relay).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    load.add("a relay of UDP", move || {
        let sent = fastrand::u64(..).to_be_bytes();
        socket.send(&sent).map_err(|error| error.to_string())?;
        let mut reply = [0; 8];
        socket.recv(&mut reply).map_err(|error| error.to_string())?;
        if reply == sent { Ok(()) } else { Err("another's".to_owned()) }
    });
    let ca = site.path("ca.pem").display().to_string();
    load.add("HTTP/2 over TLS", move || {
        let url = format!("https://a.test:{}/", https.port());
        let to = format!("a.test:{}:{}", https.port(), https.ip());
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--http2", "--max-time", "10", "--cacert", &ca, "--resolve", &to, &url]);
        let said = curl.output().unwrap();
        if said.stdout == b"yes" { Ok(()) } else { Err(format!("{said:?}")) }
    });
    load.add("DNS over HTTPS", move || {
        let query = data_encoding::BASE64URL_NOPAD.encode(&ask().encode(0));
        let url = format!("https://{doh}/dns-query?dns={query}");
        let mut curl = Command::new("curl");
        curl.args(["-sSk", "--http2", "--max-time", "10", "-w", "%{http_code}", "-o", "/dev/null"]);
        let said = curl.arg(&url).output().unwrap();
        if said.stdout == b"200" { Ok(()) } else { Err(format!("{said:?}")) }
    });
    load
}

#[test]
fn sockets_are_handed_over_without_a_failed_request_or_a_lost_query() {
    let (site, places, (_origin, echo), authority) = site();
    spawn(move || {
        let mut buffer = [0; 100];
        while let Ok((length, client)) = echo.recv_from(&mut buffer) {
            let _ = echo.send_to(&buffer[..length], client);
        }
    });
    let line = Line { first: site.serve() };
    wait_for("the first verdicts", || {
        let down = line.first.metric("meridian_endpoint_flips_total", &["to=\"down\""]);
        (down >= 1.0).then_some(())
    });
    let mut load = load(&site, places);
    load_http3(&mut load, &authority, places[2]);
    load.wait(20);
    for _ in 0..3 {
        line.hand_over();
        load.wait(20);
    }
    // A successor that cannot start leaves everything as it is.
    let node = std::fs::read_to_string(site.path("config/node.toml")).unwrap();
    let before = line.successors();
    site.write("config/node.toml", &node.replace("workers = 2\ndrain", "wrokers = 2\ndrain"));
    signal(*before.last().unwrap(), "USR2");
    let refused = "not handed over, this process serves on: the new process ended: exit status: 2";
    wait_for("the refusal", || line.first.process.log().contains(refused).then_some(()));
    assert_eq!(line.successors(), before);
    load.wait(20);
    site.write("config/node.toml", &node);
    // Fewer threads than sockets: none of them is left alone.
    site.write("config/node.toml", &node.replace("workers = 2", "workers = 1"));
    line.hand_over();
    load.wait(50);
    load.end();
    let successors = line.successors();
    assert_eq!(successors.len(), 4);
    // Those before have ended; one of them owned the state folder at a time.
    for process in &successors[..3] {
        let path = format!("/proc/{process}");
        wait_for("an end", || (!std::path::Path::new(&path).exists()).then_some(()));
    }
    let log = line.first.process.log();
    assert!(!log.contains("cannot save"), "{log}");
    let last = *successors.last().unwrap();
    signal(last, "TERM");
    let path = format!("/proc/{last}");
    wait_for("the end", || (!std::path::Path::new(&path).exists()).then_some(()));
    assert!(TcpListener::bind(places[1]).is_ok(), "nobody listens any more");
}

#[test]
fn a_websocket_goes_on_in_the_old_process_until_its_drain_ends() {
    let front = Front::new("drain = \"6s\"", "");
    let port = echo(&front);
    fleet(&front, port, "");
    let mut line = Line { first: front.serve() };
    let mut old = connect(&front);
    assert_eq!(said(&mut old, "before".into()), Message::text("before"));
    wait_for("the tunnel", || (open(&line.first) == 1.0).then_some(()));
    line.hand_over();
    assert_eq!(said(&mut old, "after".into()), Message::text("after"));
    // For a moment both processes accept; the next one counts what it has itself.
    let mut new = wait_for("a tunnel of the next process", || {
        let mut new = connect(&front);
        assert_eq!(said(&mut new, "new".into()), Message::text("new"));
        (open(&line.first) == 1.0).then_some(new)
    });
    let large = Message::binary(vec![7_u8; 3_000_000]);
    assert_eq!(said(&mut old, large.clone()), large);
    assert!(line.first.process.ended().is_none(), "it drains");
    let Message::Close(Some(frame)) = old.read().unwrap() else { panic!("no close frame") };
    assert_eq!(frame.code, CloseCode::Away);
    drop(old);
    let ended = line.first.process.wait(PATIENCE).expect("an end");
    assert!(ended.success(), "{ended}");
    assert_eq!(said(&mut new, "still".into()), Message::text("still"));
    assert_eq!(open(&line.first), 1.0);
}
