//! Clients that are slow on purpose: how soon they are gone, and that the others notice nothing.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Front;
use crate::frames::{ACK, END_HEADERS, PING, SETTINGS, frame, get, setting};
use crate::origin::{Talk, get as ask};
use crate::support::meridian::Meridian;
use crate::support::peers::Nginx;
use crate::support::process::Process;
use crate::support::{free_address, poll, wait_for};

/// What bounds slow clients, as docs/configuration.md advises.
const LIMITS: &str = "limits = { header_timeout = \"3s\", idle = \"3s\", body_rate = \"500B/s\" }";
/// The same of a route.
const TIMES: &str = "timeouts = { idle = \"3s\" }";
/// How soon a slow client has to be gone.
const GONE: Duration = Duration::from_secs(10);
/// A reply that no buffer takes whole.
const LARGE: usize = 8 << 20;
/// One that waits in the proxy without a place at the endpoint.
const SMALL: usize = 100_000;

/// A front and an nginx behind it: a word at `/`, files at `/large` and `/small`, and `/upload`,
/// which replies when the whole body has come.
fn scene(limits: &str, times: &str) -> (Front, Nginx) {
    let front = Front::new(limits, "");
    let address = free_address(front.site.address(10).into());
    front.site.write("files/large", &"x".repeat(LARGE));
    front.site.write("files/small", &"x".repeat(SMALL));
    let root = front.site.path("files").display().to_string();
    let servers = format!(
        "server {{ listen {address}; client_max_body_size 0;\n\
         location = / {{ return 200 'yes'; }}\n\
         location = /upload {{ proxy_pass http://{address}/; }}\n\
         location / {{ root {root}; error_page 405 =200 /small; }} }}"
    );
    let nginx = Nginx::with_servers(&front.site.path(""), address, servers);
    front.fleet(&format!(
        "[pool.web]\nendpoints = [{{ region = \"eu\", address = \"{}\" }}]\n\
         [[route]]\nname = \"r\"\npool = \"web\"\n\
         upstream = {{ port = {}, max_connections = 10000 }}\n{times}\n",
        address.ip(),
        address.port()
    ));
    (front, nginx)
}

/// Clients that ask as others do, over connections that stay and new ones.
struct Others {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(u32, Duration)>>,
}

impl Others {
    fn asking(at: SocketAddr) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let client = |stays: bool| {
            let stop = stop.clone();
            spawn(move || {
                let (mut served, mut slowest) = (0, Duration::ZERO);
                let mut talk = Talk::to(at);
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    if !stays {
                        talk = Talk::to(at);
                    }
                    talk.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                    let reply = talk.hear().expect("a reply");
                    assert_eq!((reply.status, reply.text().as_str()), (200, "yes"), "{reply:?}");
                    slowest = slowest.max(begun.elapsed());
                    served += 1;
                    sleep(Duration::from_millis(10));
                }
                (served, slowest)
            })
        };
        let clients = [true, true, false, false].map(client).into();
        Self { stop, clients }
    }

    /// How many were served, which are all, and how long the slowest took.
    fn end(self) -> (u32, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.clients.into_iter().map(|client| client.join().expect("all are served"));
        ended.fold((0, Duration::ZERO), |(all, most), (served, slowest)| {
            (all + served, most.max(slowest))
        })
    }
}

fn closed(meridian: &Meridian, reason: &str) -> f64 {
    let label = format!("reason=\"{reason}\"");
    meridian.metric("meridian_proxy_connections_closed_total", &[&label])
}

fn failed(meridian: &Meridian, cause: &str) -> f64 {
    let label = format!("cause=\"{cause}\"");
    meridian.metric("meridian_proxy_failures_total", &[&label])
}

#[test]
fn clients_of_slowhttptest_are_gone_in_ten_seconds_and_others_are_served() {
    const CLIENTS: usize = 300;
    const RATE: usize = 150;
    let (front, _nginx) = scene(LIMITS, TIMES);
    let meridian = front.serve();
    let others = Others::asking(front.http);
    let prefix = front.site.path("slow").display().to_string();
    let by_pace: &dyn Fn() -> f64 = &|| failed(&meridian, "body-slow");
    for (mode, more, path, count) in [
        ("-H", vec![], "/", &(|| closed(&meridian, "header_timeout")) as &dyn Fn() -> f64),
        ("-B", vec!["-s", "8192"], "/upload", by_pace),
        ("-B", vec!["-s", "1000000"], "/upload", by_pace),
        ("-X", vec!["-n", "1", "-z", "512"], "/large", &|| closed(&meridian, "stalled")),
    ] {
        let before = count();
        let (clients, rate) = (CLIENTS.to_string(), RATE.to_string());
        let url = format!("http://{}{path}", front.http);
        let mut tool = Command::new("slowhttptest");
        tool.args([mode, "-c", &clients, "-r", &rate, "-l", "60", "-i", "1", "-x", "10"]);
        tool.args(["-g", "-o", &prefix, "-u", &url]).args(&more);
        let begun = Instant::now();
        let mut tool = Process::start("slowhttptest", &mut tool, &front.site.path(""));
        let ended = || count() - before >= CLIENTS as f64;
        let all = poll(4 * GONE, Duration::from_millis(50), || ended().then_some(begun.elapsed()));
        let took = all.unwrap_or_else(|| panic!("{mode} {more:?}: {}", count() - before));
        // The last of them came after this time at the earliest.
        let last = Duration::from_secs((CLIENTS / RATE) as u64 - 1);
        println!("{mode} {more:?}: {CLIENTS} clients gone after {took:?}");
        assert!(took < last + GONE, "{mode} {more:?}: {took:?}");
        // It reads out what its kernel has before it sees that a connection was reset.
        tool.wait(Duration::from_secs(70)).expect("it ends");
        assert!(tool.log().contains("No open connections left"), "{mode} {more:?}");
    }
    let (served, slowest) = others.end();
    println!(
        "meanwhile {served} of {served} other requests were served, the slowest in {slowest:?}"
    );
    assert!(served > 500, "{served}");
}

/// A way to be slow.
#[derive(Clone, Copy, Debug)]
enum Slow {
    /// Nothing is ever said.
    Silent,
    /// A head that never ends, field by field.
    Head,
    /// A body that is short and never ends, octet by octet.
    Body,
    /// The same, long.
    LongBody,
    /// A reply that is asked for and not read.
    Reader(&'static str),
    /// A head of HTTP/2 that breaks off.
    Head2,
    /// A body of HTTP/2, octet by octet.
    Body2,
    /// A reply over HTTP/2 for which there never is a window, while pings are answered.
    Reader2,
}

const EVERY_SORT: [Slow; 8] = [
    Slow::Silent,
    Slow::Head,
    Slow::Body,
    Slow::LongBody,
    Slow::Reader("/large"),
    Slow::Head2,
    Slow::Body2,
    Slow::Reader2,
];

impl Slow {
    /// What is said at the beginning.
    fn opening(self) -> Vec<u8> {
        let post = |length: u32| {
            format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
                .into_bytes()
        };
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        match self {
            Self::Silent => Vec::new(),
            Self::Head => b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec(),
            Self::Body => post(10_000),
            Self::LongBody => post(1_000_000),
            Self::Reader(path) => format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes(),
            Self::Head2 => {
                let whole = get(0, 1, &[]);
                [preface, frame(SETTINGS, 0, 0, &[]), whole[..whole.len() - 5].to_vec()].concat()
            }
            Self::Body2 => {
                let head = crate::frames::post(1, &[("content-length", "10000")]);
                [preface, frame(SETTINGS, 0, 0, &[]), head].concat()
            }
            Self::Reader2 => [preface, setting(4, 0), get(END_HEADERS | 1, 1, &[])].concat(),
        }
    }

    /// What is said again and again.
    fn drip(self) -> Vec<u8> {
        match self {
            Self::Silent | Self::Reader(_) | Self::Head2 | Self::Reader2 => Vec::new(),
            Self::Head => b"x-more: 1\r\n".to_vec(),
            Self::Body | Self::LongBody => b"x".to_vec(),
            Self::Body2 => frame(0, 0, 1, b"x"),
        }
    }

    fn reads(self) -> bool {
        !matches!(self, Self::Reader(_))
    }
}

/// A connection from an address of choice that keeps little of what comes.
async fn connect(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4_096)?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// Is slow until the other side ends the connection.
async fn until_closed(mut stream: TcpStream, slow: Slow, every: Duration) {
    if stream.write_all(&slow.opening()).await.is_err() {
        return;
    }
    let (mut buffer, mut seen) = (vec![0; 4_096], Vec::new());
    loop {
        let read = async {
            if slow.reads() {
                return stream.read(&mut buffer).await.unwrap_or(0);
            }
            // Without taking anything it is still seen that the connection was reset.
            loop {
                tokio::time::sleep(every / 4).await;
                if !matches!(stream.take_error(), Ok(None)) {
                    return 0;
                }
            }
        };
        match timeout(every, read).await {
            Ok(0) => return,
            Ok(length) => {
                seen.extend_from_slice(&buffer[..length]);
                // What a client of HTTP/2 does that wants to stay.
                while let Some(pong) = pong(&mut seen) {
                    if stream.write_all(&pong).await.is_err() {
                        return;
                    }
                }
            }
            Err(_) => {
                if stream.write_all(&slow.drip()).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Takes a frame from what has come, and gives what to say to a ping; `None`: there is no frame.
fn pong(seen: &mut Vec<u8>) -> Option<Vec<u8>> {
    let [a, b, c, kind, flags, ..] = *seen.first_chunk::<9>()?;
    let length = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
    let whole: Vec<u8> = (seen.len() >= length).then(|| seen.drain(..length).collect())?;
    let asks = kind == PING && flags & ACK == 0;
    Some(if asks { frame(PING, ACK, 0, &whole[9..]) } else { Vec::new() })
}

#[test]
fn slow_clients_of_every_sort_are_gone_in_ten_seconds() {
    let (front, _nginx) = scene(LIMITS, TIMES);
    let meridian = front.serve();
    let others = Others::asking(front.http);
    let (at, from) = (front.http, front.site.address(30));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lives = runtime.block_on(async {
        let mut all = JoinSet::new();
        for slow in EVERY_SORT.into_iter().cycle().take(4 * EVERY_SORT.len()) {
            let stream = connect(from, at).await.unwrap();
            all.spawn(async move {
                let begun = Instant::now();
                let ended = until_closed(stream, slow, Duration::from_millis(400));
                let _ = timeout(4 * GONE, ended).await;
                (slow, begun.elapsed())
            });
        }
        all.join_all().await
    });
    for (slow, life) in &lives {
        assert!(*life < GONE, "{slow:?} was there for {life:?}");
    }
    let longest = lives.iter().map(|(_, life)| life).max().unwrap();
    let (served, slowest) = others.end();
    println!("all {} gone within {longest:?}; {served} others, {slowest:?}", lives.len());
    let in_flight = || meridian.metric("meridian_proxy_requests_in_flight", &["pool=\"web\""]);
    wait_for("places to be free again", || (in_flight() == 0.0).then_some(()));
}

/// Lets this process have so many file descriptors.
fn descriptors(needed: u64) {
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(
        most >= needed,
        "this takes {needed} file descriptors and {most} are allowed: raise the hard limit \
         (`ulimit -Hn`)"
    );
    setrlimit(Resource::RLIMIT_NOFILE, now.max(needed), most).unwrap();
}

#[test]
fn thousands_of_slow_clients_keep_nobody_waiting() {
    const HELD: usize = 5_000;
    descriptors(HELD as u64 + 500);
    // Nothing closes them while the test lasts.
    let limits = "limits = { header_timeout = \"10m\", idle = \"10m\" }";
    let (front, _nginx) = scene(limits, "timeouts = { idle = \"10m\" }");
    let meridian = front.serve();
    let others = Others::asking(front.http);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sources: Vec<Ipv4Addr> = (30..40).map(|number| front.site.address(number)).collect();
    let (at, stop) = (front.http, Arc::<AtomicBool>::default());
    let hold = stop.clone();
    let slow = spawn(move || {
        runtime.block_on(async move {
            let sorts = [Slow::Head, Slow::Body, Slow::Reader("/small"), Slow::Head2];
            let mut crowd = JoinSet::new();
            for (number, slow) in sorts.into_iter().cycle().take(HELD).enumerate() {
                let stream = connect(sources[number % sources.len()], at).await.unwrap();
                crowd.spawn(until_closed(stream, slow, Duration::from_secs(5)));
            }
            while !hold.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let gone = std::iter::from_fn(|| crowd.try_join_next()).count();
            crowd.shutdown().await;
            gone
        })
    });
    let connections = || meridian.metric("meridian_proxy_connections", &[]);
    let there = poll(Duration::from_secs(120), Duration::from_millis(100), || {
        (connections() >= HELD as f64).then_some(())
    });
    assert!(there.is_some(), "{} connections", connections());
    let begun = Instant::now();
    for round in 0..500 {
        let reply = ask(front.http, "a", "/");
        assert_eq!((reply.status, reply.text().as_str()), (200, "yes"), "{round}: {reply:?}");
    }
    let took = begun.elapsed();
    assert!(connections() >= HELD as f64, "they are still there: {}", connections());
    stop.store(true, Ordering::Relaxed);
    let gone = slow.join().unwrap();
    let (served, slowest) = others.end();
    println!(
        "{HELD} held, {gone} gone; 500 of 500 served in {took:?}, and {served} of {served} beside \
         them, the slowest in {slowest:?}"
    );
    assert_eq!(gone, 0);
    assert!(served > 20, "{served}");
}

#[test]
fn a_low_limit_of_file_descriptors_is_raised() {
    let (front, _nginx) = scene("", "");
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -Sn 200; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_meridian")]);
    let site = &front.site;
    let places = (site.path("config"), site.path(""));
    let mut node = Meridian::start_with(&mut shell, &places.0, &places.1, site.dns, site.admin);
    node.wait_ready();
    let mut held: Vec<Talk> = (0..400).map(|_| Talk::to(front.http)).collect();
    for talk in &mut held {
        let _ = talk.stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(talk.hear().expect("a reply").status, 200);
    }
}
