//! Every command of the README, run as a newcomer would, and the demo's failover.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may fail loudly.
#![allow(clippy::indexing_slicing, clippy::disallowed_methods)] // As above.

mod support;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use support::dns::Client;
use support::meridian::{command, http_get};
use support::process::Process;
use support::wire::Ask;
use support::{free_address, free_pair, wait_for};
use tempfile::TempDir;

const A: u16 = 1;
const README: &str = include_str!("../README.md");

/// The commands of the README's shell blocks, in their order.
fn commands() -> Vec<&'static str> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in README.lines().map(str::trim) {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside => found.push(line),
            _ => {}
        }
    }
    found
}

fn run(folder: &Path, line: &str) -> Output {
    let arguments = line.strip_prefix("meridian ").expect("a command of ours").split(' ');
    command().args(arguments).current_dir(folder).output().unwrap()
}

fn succeeds(folder: &Path, line: &str) -> String {
    let output = run(folder, line);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let trouble = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}\n{text}\n{trouble}");
    text
}

#[test]
fn the_readme_shows_these_commands_and_no_others() {
    let known = [
        "cargo run --release -- demo",
        "scripts/test",
        "meridian init .",
        "meridian check --config config",
        "meridian serve --config config",
        "meridian explain www.app.example.com --client 203.0.113.7 --config config",
        "meridian explain www.app.example.com --client 203.0.113.7 --down eu --config config",
    ];
    assert_eq!(commands(), known, "a new command needs a test of its own here");
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(top.join("scripts/test").is_file(), "this very run was started by scripts/test");
}

#[test]
fn a_newcomer_gets_from_init_to_answers() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    for line in commands().into_iter().filter(|line| line.starts_with("meridian init")) {
        succeeds(here, line);
    }
    for line in commands().into_iter().filter(|line| line.starts_with("meridian check")) {
        assert!(succeeds(here, line).contains("the configuration is valid"));
    }
    // The documentation client 203.0.113.7 is nowhere; both explanations must still answer.
    let explained = commands().into_iter().filter(|line| line.starts_with("meridian explain"));
    let explained: Vec<String> = explained.map(|line| succeeds(here, line)).collect();
    assert!(explained[0].contains("192.0.2.1") || explained[0].contains("198.51.100.10"));
    assert!(explained[1].contains("198.51.100.10"), "with eu down: {}", explained[1]);

    // The ports of the README may be taken on this machine.
    let own = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let (dns, admin) = free_pair(own);
    let node = fs::read_to_string(here.join("config/node.toml")).unwrap();
    let node = node
        .replace("\"127.0.0.1:5300\", \"[::1]:5300\"", &format!("\"{dns}\""))
        .replace("127.0.0.1:8053", &admin.to_string());
    fs::write(here.join("config/node.toml"), node).unwrap();
    let mut serve = command();
    serve.args(["serve", "--config", "config"]).current_dir(here);
    let mut process = Process::start("serve", &mut serve, here);
    wait_for("readiness", || http_get(admin, "/readyz").filter(|(status, _)| *status == 200));
    let reply = Client::new(dns).ask(&Ask::new("www.app.example.com", A));
    assert_eq!((reply.rcode, reply.aa), (0, true));
    assert!(!reply.addresses().is_empty(), "all is down, so all is answered: {reply:?}");
    process.signal("TERM");
    let status = process.wait(Duration::from_secs(10)).expect("it ends");
    assert!(status.success(), "{}", process.log());
}

/// Ports of backends and proxies that are free on the first address of each.
fn ports() -> [u16; 2] {
    [11, 10].map(|octet| free_address(IpAddr::V4(Ipv4Addr::new(127, 0, 0, octet))).port())
}

/// A running demo on ports of its own.
struct Demo {
    process: Process,
    dns: SocketAddr,
    admin: SocketAddr,
    backends: u16,
    proxies: u16,
    _folder: TempDir,
}

impl Demo {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let own = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (dns, admin) = free_pair(own);
        let [backends, proxies] = ports();
        let mut demo = command();
        demo.arg("demo").env("TMPDIR", folder.path());
        demo.args(["--dns", &dns.to_string(), "--admin", &admin.to_string()]);
        demo.args(["--backends", &backends.to_string(), "--proxies", &proxies.to_string()]);
        let process = Process::start("demo", &mut demo, folder.path());
        wait_for("the demo", || http_get(admin, "/readyz").filter(|(status, _)| *status == 200));
        Self { process, dns, admin, backends, proxies, _folder: folder }
    }

    /// Region of the answer to a client in Germany, by the tens of the address's last octet.
    fn region(&self) -> Option<u8> {
        let client = "80.130.0.0".parse().unwrap();
        let ask = Ask::new("www.app.example.com", A).with_subnet(client, 24);
        match Client::new(self.dns).ask(&ask).addresses()[..] {
            [IpAddr::V4(address)] => Some(address.octets()[3] / 10),
            _ => None,
        }
    }

    /// Runs one of the commands that the demo prints, for the backends of eu.
    fn curl(&self, what: &str) {
        for octet in [11, 12] {
            let url = format!("http://127.0.0.{octet}:{}/{what}", self.backends);
            let output = Command::new("curl").args(["-sS", "-X", "POST", &url]).output();
            let output = output.expect("curl is missing: run scripts/test");
            assert!(output.status.success(), "{url}");
        }
    }
}

#[test]
fn the_demo_moves_clients_when_a_region_dies_and_back() {
    const EU: u8 = 1;
    let mut demo = Demo::start();
    let shown = demo.process.log();
    assert!(shown.lines().filter(|line| line.starts_with("  ")).count() >= 4, "{shown}");
    assert_eq!(demo.region(), Some(EU));
    // Each region has a proxy, which goes to its own backends.
    for (octet, region) in [(10, "eu"), (20, "us"), (30, "ap")] {
        let proxy = SocketAddr::from(([127, 0, 0, octet], demo.proxies));
        let served = wait_for("a proxy", || http_get(proxy, "/").filter(|(code, _)| *code == 200));
        assert!(served.1.ends_with(&format!(" in {region}\n")), "{served:?}");
    }
    demo.curl("fail");
    let elsewhere = wait_for("another region", || demo.region().filter(|region| *region != EU));
    assert!([2, 3].contains(&elsewhere));
    let (_, metrics) = http_get(demo.admin, "/metrics").unwrap();
    assert!(metrics.contains("meridian_endpoint_flips_total{pool=\"app\",to=\"down\"} 2"));
    demo.curl("recover");
    wait_for("eu again", || demo.region().filter(|region| *region == EU));
    let explain = shown.lines().find(|line| line.contains(" explain ")).unwrap();
    let mut words = explain.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("proximity eu > us > ap"), "{text}");
    demo.process.signal("INT");
    assert!(demo.process.wait(Duration::from_secs(10)).expect("Ctrl-C ends it").success());
}

/// Children of a process, by the kernel's table.
fn nodes_of(demo: u32) -> usize {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let text = fs::read_to_string(entry.ok()?.path().join("status")).ok()?;
        let parent =
            text.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
        Some(parent)
    });
    all.filter(|parent: &u32| *parent == demo).count()
}

#[test]
fn the_nodes_of_the_regions_end_with_the_demo_however_it_ends() {
    let mut demo = Demo::start();
    assert_eq!(nodes_of(demo.process.id()), 2);
    let proxy = SocketAddr::from(([127, 0, 0, 20], demo.proxies));
    wait_for("the proxy of us", || http_get(proxy, "/"));
    demo.process.kill();
    wait_for("its end", || http_get(proxy, "/").is_none().then_some(()));
}

#[test]
fn the_tour_plays_its_scene_and_leaves_a_report() {
    let folder = TempDir::new().unwrap();
    let (dns, admin) = free_pair(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let [backends, proxies] = ports();
    let report = folder.path().join("report.html");
    let mut tour = command();
    tour.args(["demo", "--tour", "--format", "json"]).env("TMPDIR", folder.path());
    tour.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").arg("--report").arg(&report);
    tour.args(["--dns", &dns.to_string(), "--admin", &admin.to_string()]);
    tour.args(["--backends", &backends.to_string(), "--proxies", &proxies.to_string()]);
    let output = tour.output().unwrap();
    let (out, err): (String, String) =
        [output.stdout, output.stderr].map(|o| String::from_utf8(o).unwrap()).into();
    assert!(output.status.success(), "{out}\n{err}");
    let scene: serde_json::Value = serde_json::from_str(&out).unwrap();
    let number = |key: &str| scene[key].as_f64().unwrap_or_else(|| panic!("{key}: {scene:#}"));
    // Two probes a second apart, a TTL of two seconds, and a slow machine.
    assert!(number("moved_seconds") < 30.0 && number("back_seconds") < 30.0, "{scene:#}");
    assert!(number("requests") > 300.0, "{scene:#}");
    assert_eq!(scene["drill_passed"], true, "{scene:#}");
    let page = fs::read_to_string(&report).unwrap();
    assert!(page.contains("<svg") && page.contains("lose eu"), "{page}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, [report], "its folder goes with it");
}
