//! What routes do with heads and bodies: edits, paths, redirects, replies, cookies, compression.

use std::io::Write as _;
use std::thread::spawn;
use std::time::Duration;

use crate::Front;
use crate::origin::{Origin, Reply, Talk, curl, get};
use crate::support::peers::Nginx;
use crate::support::{free_address, wait_for};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";

/// A pool of one origin that says this, and the node's routes: `PORT` stands for the origin's.
fn shaped(routes: &str, reply: &'static str) -> (Front, Origin) {
    let front = Front::new("", "");
    let origin = Origin::saying(front.site.address(10), reply);
    fleet(&front, &origin, routes);
    (front, origin)
}

fn fleet(front: &Front, origin: &Origin, routes: &str) {
    let (address, port) = (front.site.address(10), origin.address.port().to_string());
    front.fleet(&format!(
        "[pool.web]\nendpoints = [{{ region = \"eu\", address = \"{address}\" }}]\n{}",
        routes.replace("PORT", &port)
    ));
}

fn ask(front: &Front, head: &str) -> Reply {
    let mut talk = Talk::to(front.http);
    talk.say(format!("{head}\r\n\r\n"));
    talk.hear().expect("a reply")
}

#[test]
fn heads_are_edited_on_their_way_in_and_out() {
    let (front, origin) = shaped(
        "[[route]]\nname = \"all\"\npool = \"web\"\nupstream = { port = PORT }\n\
         request_headers = { set = { host = \"origin.test\", x-region = \"{region}\", \
         x-who = \"{client_ip} by {scheme} for {host}{path}{query}\" }, \
         add = { accept = \"b\" }, remove = [\"x-debug\"] }\n\
         response_headers = { set = { x-from = \"{endpoint} {pool} {route} {node} {trace_id}\" }, \
         add = { set-cookie = \"b=2\" }, remove = [\"server\"] }\n",
        "HTTP/1.1 200 OK\r\nServer: x\r\nSet-Cookie: a=1\r\nContent-Length: 3\r\n\r\nyes",
    );
    let _meridian = front.serve();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let reply = ask(
        &front,
        &format!(
            "GET //a/%62?q=a|b HTTP/1.1\r\nHost: A.test:81\r\nAccept: a\r\nX-Debug: 1\r\n\
             X-Region: mars\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01"
        ),
    );
    assert_eq!((reply.status, reply.text().as_str()), (200, "yes"));
    let endpoint = origin.address;
    assert_eq!(reply.values("x-from"), [format!("{endpoint} web all test-1 {trace}")]);
    assert_eq!(reply.values("set-cookie"), ["a=1", "b=2"]);
    assert!(reply.values("server").is_empty());
    let [asked] = &origin.asked()[..] else { panic!("one request") };
    assert!(asked.head.starts_with("GET //a/%62?q=a|b HTTP/1.1\r\n"), "as it came: {asked:?}");
    for (name, values) in [
        ("host", vec!["origin.test".to_owned()]),
        ("x-region", vec!["eu".to_owned()]),
        ("x-who", vec![format!("127.0.0.1 by http for a.test/a/b?q=a%7Cb")]),
        ("accept", vec!["a".to_owned(), "b".to_owned()]),
        ("x-debug", vec![]),
    ] {
        assert_eq!(asked.values(name), values, "{name}");
    }
}

#[test]
fn endpoints_are_asked_for_other_paths() {
    let route = |path: &str, rewrite: &str| {
        format!(
            "[[route]]\npath = \"{path}\"\npool = \"web\"\nupstream = {{ port = PORT }}\n\
             rewrite = {{ {rewrite} }}\n"
        )
    };
    let routes = route("/api", "prefix = \"/v2\"")
        + &route("/strip", "prefix = \"/\"")
        + &route("=/old", "path = \"/new\"")
        + &route("~^/u/(?<who>[^/]+)/(.*)$", "path = \"/users/${who}/x/$2\"")
        + &route("~^/glue/(.*)-(.*)$", "path = \"/$1$2\"");
    let (front, origin) = shaped(&routes, OK);
    let _meridian = front.serve();
    for (path, expected) in [
        ("/api/a%20b?x=%2F", "/v2/a%20b?x=%2F"),
        ("/api", "/v2"),
        ("/%61pi/x", "/v2/x"),
        ("/strip/a?b", "/a?b"),
        ("/strip", "/"),
        ("/old?", "/new?"),
        ("/u/j%C3%BCrgen/a/b%3Fc?q", "/users/j%C3%BCrgen/x/a/b%3Fc?q"),
        ("/u/a/b//c", "/users/a/x/b/c"),
    ] {
        assert_eq!(get(front.http, "a.test", path).status, 200, "{path}");
        let [asked] = &origin.asked()[..] else { panic!("one request") };
        assert_eq!(asked.head.split(' ').nth(1), Some(expected), "{path}");
    }
    // What two groups add up to is looked at anew.
    let reply = get(front.http, "a.test", "/glue/a/.-./b");
    assert_eq!((reply.status, origin.asked().len()), (400, 0), "{reply:?}");
}

#[test]
fn redirects_and_fixed_replies_need_no_endpoint() {
    let (front, origin) = shaped(
        "[[route]]\nhosts = [\"old.test\"]\n\
         redirect = { to = \"https://new.{host}{path}{query}\" }\n\
         response_headers = { set = { x-to = \"{scheme}\" } }\n\
         [[route]]\nredirect = { to = \"{path}\", status = 302 }\n\
         [[route]]\npath = \"/any\"\nredirect = { to = \"https://{host}/\" }\n\
         [[route]]\npath = \"/text\"\n\
         respond = { body = \"hello\\n\", content_type = \"text/x-hello\" }\n\
         response_headers = { add = { cache-control = \"no-store\" } }\n\
         [[route]]\npath = \"/page\"\nrespond = { status = 404, body_file = \"page.html\" }\n\
         [[route]]\npath = \"/none\"\nrespond = { status = 204 }\n",
        OK,
    );
    front.site.write("config/page.html", "<h1>nothing here</h1>\n");
    let meridian = front.serve();
    for (host, path, status, to) in [
        ("OLD.test:8080", "/a%20b?c=d", 308, "https://new.old.test/a%20b?c=d"),
        ("old.test", "//evil.test/%2e%2e%5cx", 400, ""),
        ("old.test", "//evil.test/x", 308, "https://new.old.test/evil.test/x"),
        ("a.test", "//evil.test/x", 302, "/evil.test/x"),
        ("a.test", "/%5cevil.test", 302, "/%5Cevil.test"),
        ("a.test", "/%2f/evil.test", 302, "/evil.test"),
    ] {
        let reply = get(front.http, host, path);
        let told = reply.values("location").first().copied().unwrap_or_default();
        assert_eq!((reply.status, told), (status, to), "{host}{path}");
    }
    let reply = ask(&front, "GET http://old.test/x HTTP/1.1\r\nHost: old.test\r\nOrigin: x");
    assert_eq!(
        (reply.values("x-to"), reply.text().as_str()),
        (vec!["http"], "308 Permanent Redirect\n")
    );
    let nobody = ask(&front, "GET /any HTTP/1.0");
    assert_eq!((nobody.status, nobody.values("location").len()), (400, 0), "no host to go to");
    // The connection goes on, and a body that nobody reads is none of the next request.
    let mut talk = Talk::to(front.http);
    for _ in 0..2 {
        talk.say("POST /text HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        let reply = talk.hear().unwrap();
        assert_eq!((reply.status, reply.text().as_str()), (200, "hello\n"));
        assert_eq!(reply.values("content-type"), ["text/x-hello"]);
        assert_eq!(reply.values("cache-control"), ["no-store"]);
    }
    let page = get(front.http, "a", "/page");
    assert_eq!((page.status, page.text().as_str()), (404, "<h1>nothing here</h1>\n"));
    let none = get(front.http, "a", "/none");
    assert_eq!((none.status, none.body.len()), (204, 0));
    let url = format!("http://{}/text", front.http);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let head = curl(&["-I", version, &url]).to_ascii_lowercase();
        assert!(head.contains("content-length: 6"), "{version}: {head}");
        let head = curl(&["-I", version, "-H", "Host: old.test", &url]);
        assert!(head.contains("https://new.old.test/text"), "{version}: {head}");
    }
    assert!(origin.asked().is_empty());
    let own = ["status=\"2xx\"", "route=\"*/text\""];
    wait_for("counters", || {
        (meridian.metric("meridian_proxy_requests_total", &own) == 4.0).then_some(())
    });
}

#[test]
fn a_cookie_keeps_a_client_at_its_endpoint_until_that_is_gone() {
    let front = Front::new("", "");
    let [a, b, c] = [10, 11, 12].map(|number| front.site.address(number));
    let port = free_address(a.into()).port();
    let mut servers =
        [a, b, c].map(|ip| (ip, Nginx::start(&front.site.path(""), (ip, port).into())));
    front.site.write("config/sticky.key", &"5e".repeat(32));
    front.fleet(&format!(
        "[monitor.ready]\nkind = \"http\"\nport = {port}\npath = \"/health/ready\"\n\
         interval = \"200ms\"\ntimeout = \"150ms\"\nhold_down = \"0s\"\n\
         [pool.web]\nmonitors = [\"ready\"]\nendpoints = [\n\
         {{ region = \"eu\", address = \"{a}\" }},\n{{ region = \"eu\", address = \"{b}\" }},\n\
         {{ region = \"eu\", address = \"{c}\" }},\n]\n\
         [[route]]\npool = \"web\"\nupstream = {{ port = {port} }}\n\
         sticky = {{ cookie = \"mrd\", secret_file = \"sticky.key\" }}\n"
    ));
    let mut meridian = front.serve();
    let jar = front.site.path("jar").display().to_string();
    let url = format!("http://{}/", front.http);
    let visit = || curl(&["-c", &jar, "-b", &jar, &url]);
    let first = visit();
    for _ in 0..12 {
        assert_eq!(visit(), first, "whichever thread takes it");
    }
    let with =
        |cookie: &str| ask(&front, &format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}"));
    let cookies = std::fs::read_to_string(&jar).unwrap();
    let value = cookies.split_whitespace().last().unwrap().to_owned();
    let again = with(&format!("x=y; mrd={value}"));
    assert_eq!((again.text(), again.values("set-cookie").len()), (first.clone(), 0));
    let forged = with(&format!("mrd=A{}", &value[1..]));
    let [set] = forged.values("set-cookie")[..] else { panic!("{forged:?}") };
    assert!(set.starts_with("mrd=") && set.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{set}");
    // Another start, or another node, knows it too.
    meridian.process.signal("TERM");
    meridian.process.wait(Duration::from_secs(20)).expect("it ends");
    let _meridian = front.serve();
    assert_eq!(with(&format!("mrd={value}")).text(), first);
    let own = servers.iter_mut().find(|(ip, _)| first.contains(&ip.to_string())).unwrap();
    own.1.stop();
    let second =
        wait_for("another endpoint", || Some(visit()).filter(|text| text.contains("served")));
    assert_ne!(second, first);
    for _ in 0..6 {
        assert_eq!(visit(), second, "it has moved for good");
    }
}

#[test]
fn bodies_are_compressed_once_for_those_who_read_it() {
    let front = Front::new("", "");
    let lines: Vec<String> = (0..20_000).map(|number| format!("line {number}\n")).collect();
    let text = lines.concat();
    let body = text.clone();
    let origin = Origin::start(front.site.address(10), move |asked, stream| {
        let kind = if asked.head.contains("/picture") { "image/png" } else { "text/plain" };
        let more = if asked.head.contains("/zipped") { "Content-Encoding: x\r\n" } else { "" };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nETag: \"x\"\r\n{more}\
             Content-Length: {length}\r\n\r\n"
        );
        let body = if asked.head.starts_with("HEAD") { "" } else { &body };
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).is_ok()
    });
    fleet(
        &front,
        &origin,
        "[[route]]\npool = \"web\"\nupstream = { port = PORT }\ncompress = true\n",
    );
    let meridian = front.serve();
    let url = format!("http://{}", front.http);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for coding in ["gzip", "br", "zstd"] {
            let accept = format!("Accept-Encoding: {coding}");
            let shown = "%{stderr}%{size_download}";
            let head = curl(&[version, "-D", "-", "-o", "/dev/null", "-H", &accept, &url]);
            let head = head.to_ascii_lowercase();
            for line in
                [&format!("content-encoding: {coding}"), "etag: w/\"x\"", "vary: accept-encoding"]
            {
                assert!(head.contains(line), "{version} {coding}: {head}");
            }
            assert!(!head.contains("content-length"), "{head}");
            let plain = curl(&[version, "--compressed", "-H", &accept, "-w", shown, &url]);
            assert!(plain == text, "{version} {coding}: {} octets", plain.len());
        }
    }
    for (case, path, accept, method) in [
        ("not wanted", "/", "", "GET"),
        ("encoded already", "/zipped", "gzip", "GET"),
        ("a picture", "/picture", "gzip", "GET"),
        ("no body", "/", "gzip", "HEAD"),
    ] {
        let mut talk = Talk::to(front.http);
        talk.say(format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accept}\r\n\
             Connection: close\r\n\r\n"
        ));
        let mut raw = Vec::new();
        std::io::Read::read_to_end(&mut talk.stream, &mut raw).unwrap();
        let raw = String::from_utf8_lossy(&raw);
        let (head, body) = raw.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("{}", text.len())), "{case}: {head}");
        assert!(!head.contains("gzip") && !head.contains("W/"), "{case}: {head}");
        assert!(body == if method == "HEAD" { "" } else { &text }, "{case}");
    }
    // What goes out is counted as it goes out.
    let sent = || meridian.metric("meridian_proxy_body_bytes_total", &["direction=\"sent\""]);
    let before = wait_for("counters", || Some(sent()).filter(|sent| *sent > 0.0));
    curl(&["-o", "/dev/null", "-H", "Accept-Encoding: gzip", &url]);
    let more = wait_for("counters", || Some(sent() - before).filter(|more| *more > 0.0));
    assert!(more < text.len() as f64 / 2.0, "{more}");
}

#[test]
fn streams_are_compressed_without_being_held_up() {
    let front = Front::new("", "");
    let (told, tell) = std::sync::mpsc::channel::<()>();
    let tell = std::sync::Mutex::new(tell);
    let origin = Origin::start(front.site.address(10), move |_, stream| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTrailer: x-end\r\n\
             Transfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        for _ in 0..3 {
            stream.write_all(b"d\r\ndata: event\n\n\r\n").unwrap();
            // The next event comes when the client has seen this one.
            tell.lock().unwrap().recv_timeout(Duration::from_secs(10)).unwrap();
        }
        stream.write_all(b"0\r\nx-end: 1\r\n\r\n").is_ok()
    });
    fleet(
        &front,
        &origin,
        "[[route]]\npool = \"web\"\nupstream = { port = PORT }\n\
         compress = { encodings = [\"gzip\"] }\n",
    );
    let _meridian = front.serve();
    let mut command = std::process::Command::new("curl");
    let url = format!("http://{}/", front.http);
    command.args(["--silent", "--no-buffer", "--max-time", "20", "--compressed", &url]);
    let mut client = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut out = client.stdout.take().unwrap();
    let reader = spawn(move || {
        for _ in 0..3 {
            let mut event = [0; 13];
            std::io::Read::read_exact(&mut out, &mut event).unwrap();
            assert_eq!(&event, b"data: event\n\n");
            told.send(()).unwrap();
        }
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut out, &mut rest).unwrap();
        rest
    });
    assert!(reader.join().unwrap().is_empty());
    assert!(client.wait().unwrap().success());
}

#[test]
fn kept_replies_are_shaped_for_each_client() {
    let front = Front::new("", "");
    let origin = Origin::start(front.site.address(10), |_, stream| {
        let body = "x".repeat(5000);
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Type: text/plain\r\n\
             Content-Length: 5000\r\n\r\n";
        stream.write_all(format!("{head}{body}").as_bytes()).is_ok()
    });
    fleet(
        &front,
        &origin,
        "[[route]]\npool = \"web\"\npath = \"/a\"\nupstream = { port = PORT }\ncache = {}\n\
         compress = true\nrewrite = { prefix = \"/b\" }\nsticky = { cookie = \"mrd\" }\n\
         response_headers = { set = { x-for = \"{client_ip}{path}\" } }\n",
    );
    let _meridian = front.serve();
    for (round, coding) in ["gzip", "br", "", "gzip"].into_iter().enumerate() {
        let head = format!("GET /a/x HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}");
        let reply = ask(&front, &head);
        assert_eq!(reply.values("content-encoding").concat(), coding, "{reply:?}");
        assert_eq!(reply.values("x-for"), ["127.0.0.1/a/x"]);
        // Only the first one came from an endpoint.
        assert_eq!(reply.values("set-cookie").len(), usize::from(round == 0), "{reply:?}");
    }
    let [asked] = &origin.asked()[..] else { panic!("one request") };
    assert!(asked.head.starts_with("GET /b/x HTTP/1.1\r\n"), "{asked:?}");
}

#[test]
fn routes_say_what_clients_hear_when_nothing_is_left() {
    let front = Front::new("", "");
    front.fleet(
        "[pool.web]\nendpoints = [{ region = \"us\", address = \"192.0.2.1\" }]\n\
         [[route]]\npool = \"web\"\nrescue = \"off\"\n\
         unavailable = { status = 500, retry_after = \"90s\", cause_header = false, \
         body = \"<p>soon</p>\", content_type = \"text/html\" }\n\
         [[route]]\npath = \"/plain\"\npool = \"web\"\nrescue = \"off\"\n\
         unavailable = { retry_after = \"0s\", cause_header = false }\n\
         [[route]]\npath = \"/usual\"\npool = \"web\"\nrescue = \"off\"\n",
    );
    let meridian = front.serve();
    let mut heard = Vec::new();
    for path in ["/", "/plain", "/usual"] {
        let reply = get(front.http, "a", path);
        let one = |name: &str| reply.values(name).first().copied().unwrap_or("-").to_owned();
        let told = [one("retry-after"), one("x-meridian-cause"), one("content-type")].join(" ");
        heard.push(format!("{} {told} {}", reply.status, reply.text().trim()));
    }
    let text = "text/plain; charset=utf-8";
    assert_eq!(
        heard,
        [
            "500 90 - text/html <p>soon</p>".to_owned(),
            format!("503 - - {text} 503 Service Unavailable"),
            format!("503 5 unavailable {text} 503 Service Unavailable: unavailable"),
        ]
    );
    let failures = meridian.metric("meridian_proxy_failures_total", &["cause=\"unavailable\""]);
    assert!((failures - 3.0).abs() < 0.1, "{failures}");
    let url = format!("http://{}/", front.http);
    let head = curl(&["-I", "--http2-prior-knowledge", &url]);
    assert!(head.contains("content-length: 11"), "a head without its body: {head}");
}

#[test]
fn requests_are_written_down_with_what_became_of_them() {
    let front = Front::new("[proxy.access_log]\nfile = \"access.log\"\nsample = 1.0", "");
    let origin = Origin::start(front.site.address(10), |asked, stream| {
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
        let reply = if asked.head.contains("/half") { half } else { OK };
        stream.write_all(reply.as_bytes()).is_ok() && reply == OK
    });
    fleet(
        &front,
        &origin,
        "[[route]]\nname = \"all\"\npool = \"web\"\nupstream = { port = PORT }\n\
         [[route]]\nname = \"down\"\npath = \"/down\"\npool = \"none\"\nrescue = \"off\"\n\
         [pool.none]\nendpoints = [{ region = \"us\", address = \"192.0.2.1\" }]\n",
    );
    let mut meridian = front.serve();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let asked = ask(
        &front,
        &format!(
            "POST /in%20it?secret HTTP/1.1\r\nHost: A.test\r\nUser-Agent: t\r\n\
             traceparent: 00-{trace}-00f067aa0ba902b7-01\r\nContent-Length: 2\r\n\r\nhi"
        ),
    );
    assert_eq!(asked.status, 200);
    assert_eq!(get(front.http, "a", "/down").status, 503);
    let mut talk = Talk::to(front.http);
    talk.say("GET /half HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(talk.hear().is_none());
    assert_eq!(get(front.http, "a b", "/").status, 400);
    meridian.process.signal("TERM");
    meridian.process.wait(Duration::from_secs(20)).expect("it ends");
    let text = std::fs::read_to_string(front.site.path("config/access.log")).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [posted, down, half, bad] = &lines[..] else { panic!("four lines: {text}") };
    for (name, value) in [
        ("client", "127.0.0.1"),
        ("node", "test-1"),
        ("protocol", "HTTP/1.1"),
        ("method", "POST"),
        ("host", "A.test"),
        ("path", "/in%20it"),
        ("user_agent", "t"),
        ("trace", trace),
        ("route", "all"),
        ("endpoint", &origin.address.to_string()),
    ] {
        assert_eq!(posted[name], value, "{name}");
    }
    for (name, value) in [("status", 200), ("tries", 1), ("received", 2), ("sent", 3)] {
        assert_eq!(posted[name], value, "{name}");
    }
    assert!(posted["duration"].as_f64() >= posted["endpoint_duration"].as_f64());
    assert!(posted["complete"] == true && posted["tls"] == false && !text.contains("secret"));
    assert_eq!((&down["status"], &down["tries"]), (&503.into(), &0.into()));
    assert_eq!((&down["cause"], &down["route"]), (&"unavailable".into(), &"down".into()));
    assert_eq!((&half["status"], &half["complete"]), (&200.into(), &false.into()));
    assert_eq!((&bad["status"], &bad["route"]), (&400.into(), &serde_json::Value::Null));
}
