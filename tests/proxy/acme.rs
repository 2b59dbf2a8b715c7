//! Certificates by ACME from a real authority, pebble.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::Front;
use crate::certificates::Authority;
use crate::origin::curl;
use crate::support::dns::kdig;
use crate::support::events::Reader;
use crate::support::meridian::{Meridian, command};
use crate::support::nats::NatsServer;
use crate::support::process::{Process, output};
use crate::support::site::zone;
use crate::support::{free_beside, free_pair, poll};

/// Far longer than an order takes.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running pebble.
struct Pebble {
    process: Process,
    /// Where orders begin.
    directory: String,
    management: SocketAddr,
}

impl Pebble {
    /// One that resolves names at `dns`, looks for files at `port`, and whose certificates live
    /// for so many seconds; `None`: for years.
    fn start(front: &Front, dns: SocketAddr, port: u16, life: Option<u32>) -> Self {
        Self::taking(front, dns, port, life, &[])
    }

    /// [`Pebble::start`], but it takes those alone who know one of these keys, if there are any.
    fn taking(
        front: &Front,
        dns: SocketAddr,
        port: u16,
        life: Option<u32>,
        known: &[(&str, &str)],
    ) -> Self {
        let ip = front.site.address(5).into();
        let (listen, management) = free_pair(ip);
        let authority = Authority::new("directory");
        let pair = authority.sign(&ip.to_string(), -1, 30);
        front.site.write("directory.pem", &authority.pem());
        front.site.write("pebble.pem", &pair.chain);
        front.site.write("pebble.key", &pair.key);
        let settings = serde_json::json!({ "pebble": {
            "listenAddress": listen.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": front.site.path("pebble.pem"),
            "privateKey": front.site.path("pebble.key"),
            "httpPort": port,
            "tlsPort": 1,
            "certificateValidityPeriod": life.unwrap_or(0),
            "externalAccountBindingRequired": !known.is_empty(),
            "externalAccountMACKeys": known.iter().copied().collect::<BTreeMap<_, _>>(),
        }});
        front.site.write("pebble.json", &settings.to_string());
        let mut program = Command::new("pebble");
        program.arg("-config").arg(front.site.path("pebble.json"));
        program.arg("-dnsserver").arg(dns.to_string()).env("PEBBLE_VA_NOSLEEP", "1");
        let process = Process::start("pebble", &mut program, &front.site.path(""));
        let pebble = Self { process, directory: format!("https://{listen}/dir"), management };
        let root = wait("pebble", || pebble.root());
        front.site.write("root.pem", &root);
        pebble
    }

    /// The certificate that all others go back to; `None` while it does not answer.
    fn root(&self) -> Option<String> {
        let url = format!("https://{}/roots/0", self.management);
        let reply = Command::new("curl").args(["-sk", "--max-time", "5", &url]).output().unwrap();
        let text = String::from_utf8(reply.stdout).ok()?;
        text.contains("BEGIN CERTIFICATE").then_some(text)
    }
}

#[track_caller]
fn wait<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    let found = poll(PATIENCE, Duration::from_millis(50), ask);
    found.unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain for {what}"))
}

/// A node with DNS and a proxy that orders certificates, and the authority.
struct Scene {
    front: Front,
    https: SocketAddr,
    pebble: Pebble,
}

impl Scene {
    /// One whose proxy is to order `items`.
    fn new(items: &str, life: Option<u32>) -> Self {
        let front = Front::new("", "");
        let taken = [front.http, front.site.dns, front.site.admin];
        let https = free_beside(front.http.ip(), &taken);
        let pebble = Pebble::start(&front, front.site.dns, front.http.port(), life);
        let scene = Self { front, https, pebble };
        scene.zone(&format!("www IN A {0}\napi IN A {0}\n", scene.front.http.ip()));
        scene.node(&scene.pebble.directory, items);
        scene
    }

    /// Writes the zone of all names.
    fn zone(&self, records: &str) {
        self.front.site.write("zones/example.com.zone", &zone("example.com.", 1, records));
    }

    /// Writes node.toml.
    fn node(&self, directory: &str, items: &str) {
        let (http, https) = (self.front.http, self.https);
        let role = format!(
            "[proxy]\nhttp = [\"{http}\"]\nhttps = [\"{https}\"]\nworkers = 2\n\
             [proxy.acme]\ndirectory = \"{directory}\"\nauthority = \"../directory.pem\"\n\
             agree_terms = true\ncontact = [\"ops@example.com\"]\ncertificates = [{items}]\n\
             [probe]"
        );
        let site = &self.front.site;
        site.write("config/node.toml", &site.node("eu").replace("[probe]", &role));
    }

    /// The certificate that is shown for a name, if it holds.
    fn shown(&self, name: &str) -> Option<String> {
        let (ip, port) = (self.https.ip(), self.https.port());
        let mut curl = Command::new("curl");
        curl.args(["-s", "--max-time", "10", "-o", "/dev/null", "-w", "%{certs}", "--cacert"]);
        curl.arg(self.front.site.path("root.pem"));
        curl.args(["--resolve", &format!("{name}:{port}:{ip}")]);
        let reply = curl.arg(format!("https://{name}:{port}/")).output().unwrap();
        let text = String::from_utf8(reply.stdout).unwrap();
        (reply.status.success() && text.contains("BEGIN CERTIFICATE")).then_some(text)
    }

    /// What `meridian status` says of the certificates.
    fn told(&self) -> Vec<Value> {
        let node = format!("http://{}", self.front.site.admin);
        let text = output(command().args(["status", "--format", "json", "--node", &node]));
        let status: Value = serde_json::from_str(&text).unwrap();
        status["certificates"].as_array().cloned().unwrap_or_default()
    }
}

fn ended(meridian: &Meridian, outcome: &str) -> f64 {
    let label = format!("outcome=\"{outcome}\"");
    meridian.metric("meridian_acme_orders_total", &[&label])
}

#[test]
fn a_certificate_is_ordered_shown_at_once_and_kept_over_a_restart() {
    let scene = Scene::new("{ names = [\"www.example.com\", \"api.example.com\"] }", None);
    let mut meridian = scene.front.serve();
    let first = wait("the certificate", || scene.shown("www.example.com"));
    assert_eq!(scene.shown("api.example.com").as_ref(), Some(&first));
    assert_eq!((ended(&meridian, "issued"), ended(&meridian, "refused")), (1.0, 0.0));
    let [told] = &scene.told()[..] else { panic!("one certificate") };
    assert_eq!(told["names"], serde_json::json!(["www.example.com", "api.example.com"]));
    assert_eq!((&told["last"], &told["failures"]), (&"issued".into(), &0.into()));
    let ends = told["ends"].as_i64().unwrap();
    let labels = ["name=\"www.example.com\""];
    let gauge = "meridian_acme_certificate_end_timestamp_seconds";
    assert_eq!(meridian.metric(gauge, &labels), ends as f64);
    // What is asked for is nobody's business any more, and other files are the routes'.
    let url = format!("http://{}/.well-known/acme-challenge/x", scene.front.http);
    assert_eq!(curl(&["-o", "/dev/null", "-w", "%{http_code}", &url]), "404");
    let mut files = Vec::new();
    for folder in ["state/acme", "state/acme/certificates"] {
        for entry in fs::read_dir(scene.front.site.path(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
                files.push(entry.file_name().into_string().unwrap());
            }
        }
    }
    files.sort();
    assert!(files[0].starts_with("account-"), "{files:?}");
    assert_eq!(files[1..], ["orders.json", "www.example.com.pem"]);
    // The authority need not be there for what was ordered before.
    let Scene { front, https, mut pebble } = scene;
    pebble.process.kill();
    meridian.process.stop();
    let scene = Scene { front, https, pebble };
    let meridian = scene.front.serve();
    assert_eq!(scene.shown("www.example.com"), Some(first));
    let told = wait("a look", || scene.told().into_iter().next());
    assert!(told["next"].as_i64().unwrap() < ends && told["next"].as_i64().unwrap() > 0);
    let ordered = meridian.process.log().matches("ordering a certificate").count();
    assert_eq!(ordered, 1, "by both processes");
}

#[test]
fn a_certificate_is_renewed_while_the_last_one_serves() {
    let scene = Scene::new("{ names = [\"www.example.com\"] }", Some(60));
    let meridian = scene.front.serve();
    let first = wait("the certificate", || scene.shown("www.example.com"));
    let second = wait("another one", || {
        let shown = scene.shown("www.example.com");
        let log = || meridian.process.log();
        let shown = shown.unwrap_or_else(|| panic!("nothing that holds is shown\n{}", log()));
        (shown != first).then_some(shown)
    });
    assert_ne!(first, second);
    assert_eq!((ended(&meridian, "issued"), ended(&meridian, "refused")), (2.0, 0.0));
}

#[test]
fn what_an_authority_refuses_is_told_and_the_rest_serves_on() {
    let (good, bad) = ("{ names = [\"www.example.com\"] }", "{ names = [\"gone.example.com\"] }");
    let scene = Scene::new(&format!("{good}, {bad}"), None);
    let (here, nowhere) = (scene.front.http.ip(), scene.front.site.address(77));
    scene.zone(&format!("www IN A {here}\ngone IN A {nowhere}\n"));
    let meridian = scene.front.serve();
    wait("the refusal", || (ended(&meridian, "refused") >= 1.0).then_some(()));
    wait("the certificate", || scene.shown("www.example.com"));
    let told =
        wait("the reason", || scene.told().into_iter().find(|told| told["error"].is_string()));
    let error = told["error"].as_str().unwrap();
    assert!(error.starts_with("`gone.example.com`: ") && error.contains("connection"), "{error}");
    assert_eq!((&told["failures"], &told["ends"]), (&1.into(), &Value::Null));
    // It is patient for at least ten minutes.
    let now = meridian::clock::unix_seconds();
    assert!(told["next"].as_u64().unwrap() > now + 500, "{told}");
    let log = meridian.process.log();
    assert!(log.contains("no certificate; what there is serves on"), "{log}");
    // Another authority, which nobody can reach.
    let dead = free_beside(scene.https.ip(), &[scene.https, scene.front.http]);
    scene.node(&format!("https://{dead}/dir"), &good.replace("www", "api"));
    wait("a failure", || (ended(&meridian, "unreached") >= 1.0).then_some(()));
    let told =
        wait("the reason", || scene.told().into_iter().find(|told| told["error"] != Value::Null));
    assert!(told["error"].as_str().unwrap().contains("refused"), "{told}");
}

#[test]
fn an_authority_that_takes_whom_it_knows_is_shown_who_asks() {
    let scene = Scene::new("{ names = [\"www.example.com\"] }", None);
    let Scene { front, https, pebble } = scene;
    // As authorities give them out: in the alphabet of URLs and unpadded.
    let key = "-_zzy0aGm3wJzTJcC4h9Nm1Xv2b8sQe7RkLp5TgUyWo";
    drop(pebble);
    let (dns, port) = (front.site.dns, front.http.port());
    let pebble = Pebble::taking(&front, dns, port, None, &[("kid-1", key)]);
    let scene = Scene { front, https, pebble };
    let site = &scene.front.site;
    site.write("right.key", &format!("{key}\n"));
    site.write("wrong.key", &format!("{}\n", key.replace('z', "y")));
    let names = |name: &str| format!("{{ names = [\"{name}.example.com\"] }}");
    let bound = |name: &str, key: &str| {
        let account = "external_account.key_id = \"kid-1\"\nexternal_account.secret_file";
        scene.node(&scene.pebble.directory, &names(name));
        let node = fs::read_to_string(site.path("config/node.toml")).unwrap();
        let more = format!("{account} = \"../{key}.key\"\nagree_terms");
        site.write("config/node.toml", &node.replace("agree_terms", &more));
    };
    scene.node(&scene.pebble.directory, &names("www"));
    let meridian = scene.front.serve();
    wait("the refusal", || (ended(&meridian, "refused") >= 1.0).then_some(()));
    let mut reader = Reader::of_all(site.admin);
    let (_, kind, told) = reader.event();
    assert_eq!(kind, "certificate.failed", "{told}");
    let words = told["error"].as_str().unwrap();
    assert!(words.contains("externalAccountRequired"), "{told}");
    assert_eq!(told["names"], serde_json::json!(["www.example.com"]));
    assert_eq!((&told["outcome"], &told["ends"]), (&"refused".into(), &Value::Null));
    let (time, next) = (told["time"].as_u64().unwrap(), told["next"].as_u64().unwrap());
    assert!(told["failures"] == 1 && next >= time + 600, "{told}");
    bound("api", "wrong");
    wait("the next refusal", || (ended(&meridian, "refused") >= 2.0).then_some(()));
    scene.zone(&format!("new IN A {}\n", scene.front.http.ip()));
    bound("new", "right");
    wait("the certificate", || scene.shown("new.example.com"));
    assert_eq!((ended(&meridian, "issued"), ended(&meridian, "refused")), (1.0, 2.0));
    let log = meridian.process.log();
    assert!(!log.contains(key), "keys are nobody's business: {log}");
}

#[test]
fn every_node_of_a_fleet_answers_the_authority() {
    let scene = Scene::new("", None);
    let site = &scene.front.site;
    let bus = NatsServer::prepared();
    // The authority sees the second node alone.
    let other = site.address(2);
    let (plain, dns, admin) = site.node_beside(2, ("eu", "test-2"));
    let port = scene.front.http.port();
    scene.zone(&format!("www IN A {other}\n* IN TXT \"any\"\n"));
    let pebble = Pebble::start(&scene.front, dns, port, None);
    scene.node(
        &pebble.directory,
        "{ names = [\"example.com\", \"*.example.com\"], challenge = \"dns-01\" },\n\
         { names = [\"www.example.com\"] }",
    );
    let node = fs::read_to_string(site.path("config/node.toml")).unwrap();
    let bus = bus.cluster();
    let plain = plain.replace("../state", "../state-2");
    let role = format!("[proxy]\nhttp = [\"{other}:{port}\"]\nworkers = 1\n[probe]");
    site.write("second/node.toml", &format!("{}{bus}", plain.replace("[probe]", &role)));
    let fleet = fs::read_to_string(site.path("config/fleet.toml")).unwrap();
    site.write("second/fleet.toml", &fleet);
    site.write("config/node.toml", &format!("{node}{bus}"));
    let second = site.path("second-folder");
    fs::create_dir_all(&second).unwrap();
    let mut second = Meridian::start(&site.path("second"), &second, dns, admin);
    second.wait_ready();
    let first = scene.front.serve();
    let star = wait("that of all names", || scene.shown("any.example.com"));
    wait("the exact name's", || scene.shown("www.example.com").filter(|shown| *shown != star));
    assert_eq!((ended(&first, "issued"), ended(&first, "refused")), (2.0, 0.0));
    let heard = ["kind=\"challenge\"", "direction=\"received\""];
    assert!(second.metric("meridian_cluster_messages_total", &heard) >= 2.0);
    wait("what the zone says itself", || {
        let texts = kdig(dns, &["+short", "_acme-challenge.example.com", "TXT"]);
        (texts == ["\"any\""]).then_some(())
    });
}
