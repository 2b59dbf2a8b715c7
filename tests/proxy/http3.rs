//! HTTP/3 before the proxy.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use bytes::Buf;
use http::{HeaderMap, HeaderValue, Request};
use quinn::{TransportConfig, VarInt};

use crate::Front;
use crate::certificates::Authority;
use crate::origin::{Asked, Origin, curl};
use crate::quic_client::{Http3, connect, run};
use crate::support::meridian::Meridian;
use crate::support::process::output;
use crate::support::{free_beside, wait_for};

/// A front with HTTP/3, its origin and who vouches for it.
pub(crate) struct Quic {
    pub(crate) front: Front,
    pub(crate) origin: Origin,
    pub(crate) authority: Authority,
    pub(crate) at: SocketAddr,
}

/// What the origin does with a path.
fn script(asked: &Asked, stream: &mut std::net::TcpStream) -> bool {
    let path = asked.head.split(' ').nth(1).unwrap_or_default();
    let reply = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let long = || vec![b'z'; 3_000_000];
    let said = match path {
        "/long" => [reply(3_000_000).into_bytes(), long()].concat(),
        "/broken" => [reply(3_000_001).into_bytes(), long()].concat(),
        "/late" => {
            sleep(Duration::from_millis(1_500));
            [reply(4).as_bytes(), b"late"].concat()
        }
        "/never" => {
            sleep(Duration::from_secs(20));
            Vec::new()
        }
        "/trailers" => b"HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n\
                         2\r\nok\r\n0\r\nx-sum: 5\r\n\r\n"
            .to_vec(),
        _ if asked.head.starts_with("HEAD ") => reply(3).into_bytes(),
        _ => [reply(3).as_bytes(), b"yes"].concat(),
    };
    stream.write_all(&said).is_ok() && path != "/broken"
}

impl Quic {
    /// A front with more in `[proxy]` and in its one route.
    pub(crate) fn new(proxy: &str, route: &str) -> Self {
        let front = Front::new("", "");
        let at = free_beside(front.http.ip(), &[front.http, front.site.dns, front.site.admin]);
        let node = std::fs::read_to_string(front.site.path("config/node.toml")).unwrap();
        let listen =
            format!("[proxy]\nhttps = [\"{at}\"]\nhttp3 = [\"{at}\"]\ncertificates = \"certs/\"\n");
        let node = node.replace("[proxy]\n", &listen).replace("workers = 2\n", "workers = 2\n#\n");
        front.site.write("config/node.toml", &node.replace("#\n", proxy));
        let authority = Authority::new("front");
        let pair = authority.sign("a.test", -1, 30);
        front.site.write("config/certs/a.pem", &pair.chain);
        front.site.write("config/certs/a.key", &pair.key);
        front.site.write("ca.pem", &authority.pem());
        let origin = Origin::start(front.site.address(10), script);
        let (address, port) = (front.site.address(10), origin.address.port());
        front.fleet(&format!(
            "[pool.web]\nendpoints = [{{ region = \"eu\", address = \"{address}\" }}]\n\
             [[route]]\nname = \"r\"\npool = \"web\"\nupstream = {{ port = {port} }}\n{route}\n"
        ));
        Self { front, origin, authority, at }
    }

    pub(crate) fn get(&self, path: &str) -> Request<()> {
        Request::get(format!("https://a.test:{}{path}", self.at.port())).body(()).unwrap()
    }

    pub(crate) async fn open(&self) -> Http3 {
        Http3::open(self.at, "a.test", &self.authority).await.unwrap()
    }
}

#[test]
fn requests_over_http_3_go_the_way_of_all_others() {
    let limits = "[proxy.limits]\nbody = \"400KiB\"\nheaders = 20\n\
                  [proxy.access_log]\nfile = \"access.log\"\nsample = 1.0\n";
    let quic = Quic::new(limits, "path = \"/\"");
    let meridian = quic.front.serve();
    let post = |length: Option<usize>| {
        let mut post = Request::post(format!("https://a.test:{}/x", quic.at.port()));
        if let Some(length) = length {
            post = post.header("content-length", length);
        }
        post.body(()).unwrap()
    };
    run(async {
        let mut client = quic.open().await;
        let mut get = quic.get("/x?y=1");
        get.headers_mut().append("cookie", HeaderValue::from_static("a=1"));
        get.headers_mut().append("cookie", HeaderValue::from_static("b=2"));
        let reply = client.ask(get, b"").await.unwrap();
        assert_eq!((reply.head.status().as_u16(), &reply.body[..]), (200, &b"yes"[..]));
        assert!(reply.head.headers().contains_key("date"), "{reply:?}");
        let [asked] = &quic.origin.asked()[..] else { panic!("one request") };
        assert!(asked.head.starts_with("GET /x?y=1 HTTP/1.1\r\n"), "{asked:?}");
        assert_eq!(asked.values("host"), [format!("a.test:{}", quic.at.port())]);
        assert_eq!(asked.values("cookie"), ["a=1; b=2"]);
        assert_eq!(asked.values("x-forwarded-proto"), ["https"]);
        assert_eq!(asked.values("x-forwarded-for"), [quic.at.ip().to_string()]);
        assert!(asked.body.is_empty() && asked.values("transfer-encoding").is_empty());
        let head = Request::head(format!("https://a.test:{}/", quic.at.port())).body(()).unwrap();
        let reply = client.ask(head, b"").await.unwrap();
        assert_eq!(
            (&reply.head.headers()["content-length"], reply.body.len()),
            (&"3".parse().unwrap(), 0)
        );
        quic.origin.asked();
        // Bodies with a length, without one, and none.
        let body = vec![b'x'; 300_000];
        client.ask(post(Some(300_000)), &body).await.unwrap();
        let [asked] = &quic.origin.asked()[..] else { panic!("one request") };
        assert_eq!((asked.body.len(), asked.values("content-length")), (300_000, vec!["300000"]));
        let sum = HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())]);
        client.ask_with(post(None), &body, Some(sum)).await.unwrap();
        let [asked] = &quic.origin.asked()[..] else { panic!("one request") };
        assert!(asked.body.len() > 300_000 && asked.values("transfer-encoding") == ["chunked"]);
        client.ask(post(Some(0)), b"").await.unwrap();
        let [asked] = &quic.origin.asked()[..] else { panic!("one request") };
        assert_eq!((asked.body.len(), asked.values("content-length")), (0, vec!["0"]));
        replies(&quic, &mut client).await;
        bounds(&quic, &mut client, &post).await;
        assert_eq!(client.ask(quic.get("/x"), b"").await.unwrap().body, b"yes");
    });
    told(&quic, &meridian);
}

/// Replies of many sorts.
async fn replies(quic: &Quic, client: &mut Http3) {
    // Long replies, and those that end with something.
    let reply = client.ask(quic.get("/long"), b"").await.unwrap();
    assert!(reply.body.len() == 3_000_000 && reply.body.iter().all(|octet| *octet == b'z'));
    let reply = client.ask(quic.get("/trailers"), b"").await.unwrap();
    assert_eq!(
        (&reply.body[..], reply.trailers.unwrap()["x-sum"].as_bytes()),
        (&b"ok"[..], &b"5"[..])
    );
    // What is not whole is not taken for whole.
    client.ask(quic.get("/broken"), b"").await.unwrap_err();
}

/// What is too much is said to be.
async fn bounds(quic: &Quic, client: &mut Http3, post: &dyn Fn(Option<usize>) -> Request<()>) {
    let mut many = quic.get("/");
    for number in 0..20 {
        many.headers_mut().insert(
            http::HeaderName::try_from(format!("x-{number}")).unwrap(),
            HeaderValue::from_static("1"),
        );
    }
    many.headers_mut().insert("x-last", HeaderValue::from_static("1"));
    for (case, request, body, expected) in [
        ("a long body", post(None), 500_000, 413),
        ("one that says so", post(Some(500_000)), 500_000, 413),
        ("many fields", many, 0, 431),
    ] {
        let reply = client.ask(request, &vec![b'x'; body]).await.unwrap();
        assert_eq!(reply.head.status().as_u16(), expected, "{case}");
    }
    // A length that is not true.
    for told in [10, 12] {
        let reply = client.ask(post(Some(told)), b"eleven octs").await;
        let refused = reply.is_err() || reply.unwrap().head.status() == 400;
        assert!(refused, "a length of {told}");
    }
}

/// What others are told of it.
fn told(quic: &Quic, meridian: &Meridian) {
    let opened = |protocol: &str| {
        let label = format!("protocol=\"{protocol}\"");
        meridian.metric("meridian_proxy_connections_opened_total", &[&label])
    };
    assert_eq!((opened("http1"), opened("http2"), opened("http3")), (0.0, 0.0, 1.0));
    // How far its client is was measured, and not believed: nobody is so near.
    wait_for("round trips of QUIC", || {
        (meridian.metric("meridian_latency_refused_total", &[]) >= 1.0).then_some(())
    });
    // Others are told of it.
    let (ca, at) = (quic.front.site.path("ca.pem"), quic.at);
    for version in ["--http1.1", "--http2"] {
        let to = format!("a.test:{}:{}", at.port(), at.ip());
        let url = format!("https://a.test:{}/", at.port());
        let ca = ca.display().to_string();
        let head = curl(&["--cacert", &ca, "--resolve", &to, version, "-D", "-", &url]);
        let told = format!("alt-svc: h3=\":{}\"; ma=86400", at.port());
        assert!(head.to_lowercase().contains(&told), "{head}");
    }
    let clear = curl(&["-D", "-", &format!("http://{}/", quic.front.http)]);
    assert!(!clear.to_lowercase().contains("alt-svc"), "{clear}");
    wait_for("the access log", || {
        let log = std::fs::read_to_string(quic.front.site.path("config/access.log")).ok()?;
        log.contains("\"protocol\":\"HTTP/3\"").then_some(())
    });
}

#[test]
fn another_library_is_understood() {
    let quic = Quic::new("", "");
    let _meridian = quic.front.serve();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut client = Command::new(here.join("target/quic-peer/bin/python"));
    client.arg(here.join("tests/proxy/http3_client.py"));
    client.args([quic.at.ip().to_string(), quic.at.port().to_string(), "a.test".to_owned()]);
    let heard = output(client.arg(quic.front.site.path("ca.pem")));
    assert_eq!(
        heard,
        "get 200 3 yes True\nlong 200 3000000 zzzzzzzzzz True\n\
         post 200 3 yes True\nmany {'200 3 yes True'}\nmalformed none 0  False\n\
         large 431 0  True\nbroken False\nagain 200 3 yes True\n"
    );
}

#[test]
fn certificates_of_clients_are_judged_over_http_3_too() {
    let quic = Quic::new("client_ca = \"clients.pem\"\n", "client_certificate = \"required\"");
    let clients = Authority::new("clients");
    quic.front.site.write("config/clients.pem", &clients.pem());
    let own = clients.sign("client.test", -1, 30);
    let other = Authority::new("others").sign("client.test", -1, 30);
    let _meridian = quic.front.serve();
    run(async {
        for (case, shown, expected) in [
            ("none", None, Some(403)),
            ("one", Some(&own), Some(200)),
            ("a false one", Some(&other), None),
        ] {
            let transport = TransportConfig::default();
            let made = connect(quic.at, "a.test", (&quic.authority, shown), transport).await;
            let status = match made {
                Err(_) => None,
                Ok(made) => match Http3::over(made).await {
                    Err(_) => None,
                    Ok(mut client) => {
                        let reply = client.ask(quic.get("/"), b"").await.ok();
                        reply.map(|reply| reply.head.status().as_u16())
                    }
                },
            };
            assert_eq!(status, expected, "{case}");
        }
    });
    let [asked] = &quic.origin.asked()[..] else { panic!("one request") };
    assert!(asked.values("client-cert")[0].starts_with(":MII"), "{asked:?}");
}

/// Streams that begin and stop there, beside a client that goes on to be served.
#[test]
fn who_is_slow_or_takes_back_is_bounded_and_holds_up_nobody() {
    let limits = "[proxy.limits]\nheader_timeout = \"1s\"\nidle = \"2s\"\n";
    let quic = Quic::new(limits, "");
    let meridian = quic.front.serve();
    let resets = |reason: &str| {
        let label = format!("reason=\"{reason}\"");
        meridian.metric("meridian_proxy_streams_reset_total", &[&label])
    };
    run(async {
        let mut good = quic.open().await;
        let open = async |transport| {
            let shown = (&quic.authority, None);
            connect(quic.at, "a.test", shown, transport).await
        };
        let (endpoint, slow) = open(TransportConfig::default()).await.unwrap();
        let slow = Http3::over((endpoint, slow)).await.unwrap();
        // Half a head, and the promise of one that nobody needs.
        let mut streams = Vec::new();
        for octets in [&[1, 60, 0, 0][..], &[1, 0xbf, 0xff, 0xff, 0xff]] {
            let (mut send, receive) = slow.connection.open_bi().await.unwrap();
            send.write_all(octets).await.unwrap();
            streams.push((send, receive));
        }
        let (promise, _) = &streams[1];
        assert_eq!(promise.stopped().await, Ok(Some(VarInt::from_u32(0x107))), "excessive load");
        assert_eq!(good.ask(quic.get("/"), b"").await.unwrap().body, b"yes");
        let (half, _) = &streams[0];
        half.stopped().await.unwrap();
        // Replies that nobody reads.
        let mut narrow = TransportConfig::default();
        narrow.stream_receive_window(VarInt::from_u32(20_000));
        let mut unread = Http3::over(open(narrow).await.unwrap()).await.unwrap();
        let mut reply = unread.requests.send_request(quic.get("/long")).await.unwrap();
        reply.finish().await.unwrap();
        reply.recv_response().await.unwrap();
        for _ in 0..15 {
            // Each is a connection in use.
            assert_eq!(good.ask(quic.get("/"), b"").await.unwrap().body, b"yes");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let broken = async {
            while let Some(mut piece) = reply.recv_data().await? {
                piece.advance(piece.remaining());
            }
            Ok::<_, h3::error::StreamError>(())
        };
        broken.await.unwrap_err();
        drop((streams, slow, reply, unread));
    });
    assert!(resets("header_timeout") >= 1.0 && resets("stalled") >= 1.0);
}

#[test]
fn a_client_has_its_share_and_may_not_ask_in_vain_for_ever() {
    let quic = Quic::new("[proxy.limits]\nper_client = 2\n", "");
    let meridian = quic.front.serve();
    let closed = |reason: &str| {
        let label = format!("reason=\"{reason}\"");
        meridian.metric("meridian_proxy_connections_closed_total", &[&label])
    };
    run(async {
        let mut good = quic.open().await;
        let mut flood = quic.open().await;
        let shown = (&quic.authority, None);
        let third = connect(quic.at, "a.test", shown, TransportConfig::default()).await;
        let refused = third.unwrap().1.closed().await;
        assert!(format!("{refused:?}").contains("263"), "{refused:?} instead of 0x107");
        // Requests taken back at once.
        let ended = async {
            loop {
                let asked = flood.requests.send_request(quic.get("/never")).await;
                let Ok(mut stream) = asked else { return };
                stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
                stream.stop_stream(h3::error::Code::H3_REQUEST_CANCELLED);
            }
        };
        ended.await;
        let ended = flood.end().await;
        assert!(format!("{ended:?}").contains("263"), "{ended:?} instead of 0x107");
        assert_eq!(good.ask(quic.get("/"), b"").await.unwrap().body, b"yes");
    });
    assert!(closed("client_full") >= 1.0 && closed("flood") >= 1.0);
}

#[test]
fn a_request_that_is_under_way_when_the_node_ends_has_its_reply() {
    let quic = Quic::new("drain = \"10s\"\n", "");
    let meridian = quic.front.serve();
    run(async {
        let mut client = quic.open().await;
        assert_eq!(client.ask(quic.get("/"), b"").await.unwrap().body, b"yes");
        let mut other = quic.open().await;
        let late = client.ask(quic.get("/late"), b"");
        let stop = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            meridian.process.signal("TERM");
            tokio::time::sleep(Duration::from_millis(300)).await;
            // Who has nothing under way is gone.
            assert!(other.ask(quic.get("/"), b"").await.is_err());
        };
        let (late, ()) = tokio::join!(late, stop);
        assert_eq!(late.unwrap().body, b"late");
        let ended = client.end().await;
        // Either side may be the first to see that nothing is left.
        let in_peace = ended == quinn::ConnectionError::LocallyClosed;
        assert!(in_peace || format!("{ended:?}").contains("256"), "{ended:?} instead of 0x100");
    });
}
