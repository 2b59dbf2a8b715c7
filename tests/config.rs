//! Configurations and exactly what is said of them: each file in `golden/config` holds the files
//! of one configuration and the findings. `UPDATE_GOLDEN=1` rewrites the findings.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use meridian::config::{self, Loaded};
use meridian::model::{CookiePolicy, Https, Io, Method, Service};

/// Separates the files of a case: `--- config/node.toml`, `--- absent: PATH`, `--- expected`.
const MARK: &str = "--- ";

/// One golden file.
struct Case {
    path: PathBuf,
    /// What comes before the expected findings, as written.
    input: String,
    files: BTreeMap<String, String>,
    absent: Vec<String>,
    expected: String,
}

impl Case {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let (input, expected) = text.split_once("--- expected\n").unwrap_or((&text, ""));
        let mut case = Self {
            path: path.to_owned(),
            input: input.to_owned(),
            files: BTreeMap::new(),
            absent: Vec::new(),
            expected: expected.to_owned(),
        };
        let mut file = None;
        for line in input.split_inclusive('\n') {
            if let Some(absent) = line.strip_prefix("--- absent: ") {
                case.absent.push(absent.trim().to_owned());
            } else if let Some(name) = line.strip_prefix(MARK) {
                file = Some(name.trim().to_owned());
                case.files.insert(name.trim().to_owned(), String::new());
            } else if let Some(content) = file.as_ref().and_then(|name| case.files.get_mut(name)) {
                content.push_str(line);
            }
        }
        case
    }

    /// The name of the file; `valid_` says that it gives a model.
    fn name(&self) -> String {
        self.path.file_stem().unwrap().to_string_lossy().into_owned()
    }

    /// Writes the files, those of `base` where the case has none of its own.
    fn lay_out(&self, base: &Case, folder: &Path) {
        for (name, content) in base.files.iter().chain(&self.files) {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        for name in &self.absent {
            std::fs::remove_file(folder.join(name)).unwrap();
        }
    }
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config")
}

/// All cases, in order, and the one that the others differ from.
fn cases() -> (Case, Vec<Case>) {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let base = Case::read(&golden().join("valid_base.txt"));
    (base, paths.iter().map(|path| Case::read(path)).collect())
}

/// The findings as printed, with paths as seen from the folder.
fn shown(loaded: &Loaded, folder: &Path) -> String {
    let (errors, warnings) = loaded.diagnostics.counts();
    let mut text = loaded.diagnostics.to_string();
    writeln!(text, "{errors} errors, {warnings} warnings").unwrap();
    text.replace(&format!("{}/", folder.display()), "")
}

#[test]
fn each_golden_configuration_gets_exactly_its_findings() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let (base, cases) = cases();
    let mut wrong = Vec::new();
    for case in &cases {
        let folder = tempfile::tempdir().unwrap();
        case.lay_out(&base, folder.path());
        let loaded = config::load(&folder.path().join("config"));
        let name = case.name();
        assert_eq!(loaded.model.is_some(), !loaded.diagnostics.has_errors(), "{name}");
        assert_eq!(loaded.model.is_some(), name.starts_with("valid_"), "{name}: the name says so");
        let found = shown(&loaded, folder.path());
        if update {
            std::fs::write(&case.path, format!("{}--- expected\n{found}", case.input)).unwrap();
        } else if found != case.expected {
            wrong.push(format!("{name}:\nexpected\n{}found\n{found}", case.expected));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let broken = cases.iter().filter(|case| !case.name().starts_with("valid_")).count();
    assert!(broken >= 60, "{broken} broken configurations");
}

/// Writes files below a folder.
fn write(folder: &Path, files: &[(&str, &[u8])]) {
    for (name, content) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// The full example, laid out in a folder of its own.
fn full_example() -> tempfile::TempDir {
    let (base, _) = cases();
    let folder = tempfile::tempdir().unwrap();
    Case::read(&golden().join("valid_full.txt")).lay_out(&base, folder.path());
    folder
}

#[test]
fn the_model_of_the_full_example_means_what_is_written() {
    let folder = full_example();
    let model = config::load(&folder.path().join("config")).model.unwrap();
    let fleet = &model.fleet;
    let names: Vec<&str> = fleet.regions.iter().map(|region| region.name.as_str()).collect();
    assert_eq!(names, ["ap-south", "eu-central", "us-east"]);
    assert_eq!(fleet.region(model.node.region).name, "eu-central");
    assert_eq!(model.node.state, folder.path().join("config/../state"));
    let web = fleet.pools.iter().find(|pool| pool.name == "web").unwrap();
    let endpoints: Vec<String> = fleet
        .endpoints_of(web)
        .map(|(_, endpoint)| {
            let region = &fleet.region(endpoint.region).name;
            format!("{region} {:?} {} {:?}", endpoint.address, endpoint.weight, endpoint.group)
        })
        .collect();
    assert_eq!(
        endpoints,
        [
            "eu-central Ip(192.0.2.10) 100 None",
            "eu-central Ip(192.0.2.11) 50 Some(\"rack-2\")",
            "eu-central Ip(2001:db8:1::10) 100 None",
            "us-east Ip(198.51.100.10) 100 None",
            "ap-south Host(lb.ap.example.net.) 100 None",
        ]
    );
    let office: Vec<String> = fleet.networks[0].prefixes.iter().map(ToString::to_string).collect();
    assert_eq!(office, ["192.0.2.0/24", "192.0.2.0/25", "203.0.113.0/24", "2001:db8:42::/48"]);
    let zone = &model.zones[0];
    assert_eq!(zone.origin.to_string(), "app.example.com.");
    let services: Vec<String> = zone
        .services
        .iter()
        .map(|service| {
            let methods: Vec<&str> = service.policy.iter().map(Method::name).collect();
            let Service { owner, answers, at, .. } = service;
            format!("{owner} line {} {methods:?} {answers:?} {:?}", at.line, service.all_down)
        })
        .collect();
    assert_eq!(
        services,
        [
            "*.eu.app.example.com. line 22 [\"order\", \"rotate\"] None Cname(status.example.net.)",
            "api.app.example.com. line 11 [\"fence\", \"fence\", \"proximity\", \"nearest\", \
             \"affinity\"] Some(1) Address([192.0.2.99, 2001:db8::99])",
            "app.example.com. line 27 [\"weighted\"] Some(1) NoData",
            "www.app.example.com. line 3 [\"network\", \"proximity\", \"weighted\"] Some(1) \
             LastGood",
            "us-east._region.app.example.com. line 27 [\"rotate\"] None All",
        ]
    );
    let https: Vec<&Https> = zone.services.iter().filter_map(|s| s.https.as_ref()).collect();
    let alpn = vec!["h2".to_owned(), "h3".to_owned()];
    let written = Https { alpn, port: Some(8443) };
    assert_eq!(https, [&written, &written], "the apex and its direct name");
}

#[test]
fn what_guards_the_listeners_of_the_full_example_is_as_written() {
    let folder = full_example();
    let dns = config::load(&folder.path().join("config")).model.unwrap().node.dns.unwrap();
    assert_eq!((dns.nsid.as_str(), dns.chaos), ("fra", true));
    assert_eq!(dns.cookies.policy, CookiePolicy::Required);
    let firsts: Vec<u8> = dns.cookies.secrets.iter().map(|secret| secret.0[1]).collect();
    assert_eq!(firsts, [0x11, 0xee], "the first makes cookies");
    let rates = dns.response_rates;
    let numbers =
        [rates.positive, rates.negative, rates.error].map(|rate| rate.map_or(0, u32::from));
    assert_eq!((numbers, rates.slip, rates.dry_run), ([0, 200, 100], 2, true));
    assert_eq!(rates.exempt.len(), 2);
}

#[test]
fn every_file_that_matters_is_named_for_watching() {
    let folder = full_example();
    let loaded = config::load(&folder.path().join("config"));
    let config = folder.path().join("config");
    let below = |path: &str| config.join(path);
    assert_eq!(
        loaded.files,
        [
            below("../zones/app.example.com.toml"),
            below("../zones/app.example.com.zone"),
            below("cookies.key"),
            below("fleet.toml"),
            below("keys.toml"),
            below("networks/office.txt"),
            below("node.toml"),
        ]
    );
    assert_eq!(loaded.folders, [config.clone(), below("../zones")]);
    std::fs::remove_file(below("networks/office.txt")).unwrap();
    let broken = config::load(&config);
    assert!(broken.model.is_none());
    assert!(broken.files.contains(&below("networks/office.txt")), "to notice when it is back");
}

#[test]
fn values_in_force_name_their_line_or_the_default() {
    let folder = full_example();
    let (loaded, values) = config::effective(&folder.path().join("config"));
    assert!(loaded.model.is_some());
    let shown: Vec<String> = values
        .iter()
        .map(|value| {
            format!("{} {} = {} ({})", value.file, value.key, value.value, value.from)
                .replace(&format!("{}/", folder.path().display()), "")
        })
        .collect();
    for expected in [
        "config/node.toml node.name = \"fra-1\" (config/node.toml:4)",
        "config/node.toml dns.nsid = \"fra\" (config/node.toml:19)",
        "config/node.toml dns.cookies.secret_file = \"cookies.key\" (config/node.toml:28)",
        "config/node.toml dns.limits.response_rate.error = \"100/s\" (config/node.toml:31)",
        "config/node.toml dns.client_subnet.policy = \"trusted\" (config/node.toml:23)",
        "config/fleet.toml monitor.ready.interval = \"5s\" (config/fleet.toml:23)",
        "config/fleet.toml monitor.port.interval = \"5s\" (default)",
        "config/fleet.toml pool.web.endpoints[2].weight = 100 (default)",
        "config/fleet.toml monitor.ready.headers = { \"user-agent\" = \"meridian-probe\", \
         \"x-path\" = { env = \"PATH\" } } (config/fleet.toml:18)",
        "zones/app.example.com.toml service.\"*.eu\".answers = all (default)",
        "zones/app.example.com.toml service.\"*.eu\".policy[1].method = \"rotate\" \
         (zones/app.example.com.toml:24)",
        "zones/app.example.com.toml service.www.ttl.max = \"10s\" (zones/app.example.com.toml:7)",
        "zones/app.example.com.toml service.\"@\".ttl.max = \"30s\" (default)",
    ] {
        assert!(shown.iter().any(|line| line == expected), "{expected}\n{}", shown.join("\n"));
    }
    let json = serde_json::to_value(&values[0]).unwrap();
    assert_eq!(json["key"], "version");
    assert!(json["from"].as_str().unwrap().ends_with("config/node.toml:1"), "{json}");
}

/// Keys whose default says in words what their absence means.
const IN_WORDS: [&str; 4] =
    ["node.resolvers", "geo.databases", "dns.nsid", "dns.cookies.secret_file"];

#[test]
fn writing_out_the_defaults_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (base, _) = cases();
    Case::read(&golden().join("valid_minimal.txt")).lay_out(&base, folder.path());
    let config = folder.path().join("config");
    let (before, values) = config::effective(&config);
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    let mut endpoint = Vec::new();
    for value in &values {
        let file = files.entry(&value.file).or_default();
        if let Some((_, key)) = value.key.split_once("endpoints[0].") {
            endpoint.push(format!("{key} = {}", value.value));
        } else if !IN_WORDS.contains(&value.key.as_str()) {
            writeln!(file, "{} = {}", value.key, value.value).unwrap();
        }
    }
    let fleet = values.iter().find(|value| value.key.contains("endpoints[0]")).unwrap();
    let endpoint = format!("pool.web.endpoints = [{{ {} }}]\n", endpoint.join(", "));
    files.entry(&fleet.file).or_default().push_str(&endpoint);
    for (file, text) in files {
        std::fs::write(file, text).unwrap();
    }
    let after = config::load(&config);
    assert_eq!(after.diagnostics.to_string(), "");
    let (mut before, mut after) = (before.model.unwrap(), after.model.unwrap());
    for model in [&mut before, &mut after] {
        let service = &mut model.zones[0].services[0];
        service.at = meridian::diagnostic::Location::file("");
    }
    assert_eq!(format!("{after:#?}"), format!("{before:#?}"));
}

#[test]
fn xdp_takes_an_interface_and_a_program_built_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (base, _) = cases();
    base.lay_out(&base, folder.path());
    let missing = "`interface` is missing in `dns.xdp`";
    let built = cfg!(feature = "xdp");
    for (keys, fault) in [
        ("xdp.interface = \"eth0\"", ""),
        ("", missing),
        ("xdp.interface = \"a/b\"", "`a/b` is no name of an interface"),
        ("xdp.interface = \"abcdefghijklmnop\"", "`abcdefghijklmnop` is no name of an interface"),
    ] {
        let text = &base.files["config/node.toml"];
        let text = text.replace("[dns]\n", &format!("[dns]\nio = \"xdp\"\n{keys}\n"));
        write(folder.path(), &[("config/node.toml", text.as_bytes())]);
        let loaded = config::load(&folder.path().join("config"));
        let found = loaded.diagnostics.to_string();
        if built && fault.is_empty() {
            let io = loaded.model.unwrap().node.dns.unwrap().io;
            assert_eq!(io, Io::Xdp { interface: "eth0".to_owned() });
        } else if built {
            assert!(found.contains(fault), "{keys}: {found}");
        } else {
            let fault = "this program was built without `xdp` (build it with `cargo build \
                         --release --features xdp`)";
            assert!(found.contains(fault), "{keys}: {found}");
            assert!(!found.contains(missing), "{found}");
        }
    }
}

#[test]
fn traces_take_a_collector_a_proxy_and_a_program_built_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let (base, _) = cases();
    base.lay_out(&base, folder.path());
    let unbuilt = "built without `otlp` (build it with `cargo build --release --features otlp`)";
    for (keys, fault) in [
        ("[proxy]\n[telemetry]\notlp = \"http://c.test/\"\n", ""),
        ("[proxy]\n[telemetry]\n", "`otlp` is missing in `telemetry`"),
        ("[telemetry]\notlp = \"http://c.test\"\n", "no effect without a proxy"),
        ("[proxy]\n[telemetry]\notlp = \"c.test:4318\"\n", "`c.test:4318` is not the URL"),
        ("[proxy]\n[telemetry]\notlp = \"http://a:b@c.test\"\n", "holds a password"),
        ("[proxy]\n[telemetry]\notlp = \"http://c.test/?a\"\n", "holds a query"),
        ("[proxy]\n[telemetry]\notlp = \"http://c.test/v1/traces\"\n", "leave out `/v1/traces`"),
    ] {
        let text = format!("{}\n{keys}", base.files["config/node.toml"]);
        write(folder.path(), &[("config/node.toml", text.as_bytes())]);
        let loaded = config::load(&folder.path().join("config"));
        let (found, built) = (loaded.diagnostics.to_string(), cfg!(feature = "otlp"));
        let expected = if built { fault } else { unbuilt };
        assert!(found.contains(expected), "{keys}: {found}");
        assert_eq!(loaded.model.is_some(), expected.is_empty(), "{keys}: {found}");
    }
}

#[test]
fn text_that_is_not_utf_8_is_reported_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (base, _) = cases();
    base.lay_out(&base, folder.path());
    write(folder.path(), &[("config/node.toml", b"version = 1\n# caf\xe9\n")]);
    let loaded = config::load(&folder.path().join("config"));
    assert_eq!(
        shown(&loaded, folder.path()),
        "config/node.toml:2:6: error: this is not UTF-8 text (save the file as UTF-8)\n \
         2 | # caf\u{fffd}\n   |      ^\n1 errors, 0 warnings\n"
    );
}

#[test]
fn a_folder_that_is_none_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("file", b"")]);
    let takes = "`--config` takes the folder of node.toml and fleet.toml; `meridian init DIR` \
                 writes one into DIR/config";
    for (name, what) in [("none", "no such folder"), ("file", "it is a file, not a folder")] {
        let loaded = config::load(&folder.path().join(name));
        let expected = format!("{name}: error: {what} ({takes})\n1 errors, 0 warnings\n");
        assert_eq!(shown(&loaded, folder.path()), expected);
    }
}

/// What stands in place of a file.
enum Instead {
    Folder,
    Pipe,
    Link(&'static str),
    Text(&'static [u8]),
}

#[test]
fn what_is_no_readable_text_file_is_named_and_never_waited_for() {
    use Instead::{Folder, Link, Pipe, Text};
    let mend = "(`meridian init DIR` writes a valid one)";
    let node = |why: &str| format!("config/node.toml: error: cannot be read: {why} {mend}\n");
    let services =
        |why: &str| format!("zones/app.example.com.toml: error: cannot be read: {why}\n");
    let (node_file, services_file) = ("config/node.toml", "zones/app.example.com.toml");
    for (name, instead, expected) in [
        (node_file, Folder, node("it is a folder")),
        (node_file, Pipe, node("it is not a regular file")),
        (node_file, Link("/dev/zero"), node("it is not a regular file")),
        (services_file, Pipe, services("it is not a regular file")),
        (services_file, Link("nowhere"), services("no such file")),
        (services_file, Link("app.example.com.toml"), services("its links lead to themselves")),
        (
            services_file,
            Text(b"\xef\xbb\xbfversionn = 1\nversion = 1\n"),
            "zones/app.example.com.toml:1:1: error: unknown key `versionn` (did you mean \
             `version`?)\n 1 | versionn = 1\n   | ^^^^^^^^\n"
                .to_owned(),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (base, _) = cases();
        base.lay_out(&base, folder.path());
        let path = folder.path().join(name);
        std::fs::remove_file(&path).unwrap();
        match instead {
            Folder => std::fs::create_dir(&path).unwrap(),
            Link(target) => std::os::unix::fs::symlink(target, &path).unwrap(),
            Text(octets) => std::fs::write(&path, octets).unwrap(),
            Pipe => {
                assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            }
        }
        let loaded = config::load(&folder.path().join("config"));
        assert_eq!(shown(&loaded, folder.path()), format!("{expected}1 errors, 0 warnings\n"));
    }
}

#[test]
fn many_mistakes_are_bounded_and_stay_quick() {
    let folder = tempfile::tempdir().unwrap();
    let (base, _) = cases();
    base.lay_out(&base, folder.path());
    let keys: String = (0..2_000).fold(String::new(), |text, n| text + &format!("key{n} = {n}\n"));
    let lines = "[[[\n".repeat(2_000);
    write(
        folder.path(),
        &[
            ("config/node.toml", keys.as_bytes()),
            ("config/fleet.toml", lines.as_bytes()),
            ("zones/app.example.com.toml", "[".repeat(100_000).as_bytes()),
        ],
    );
    let loaded = config::load(&folder.path().join("config"));
    let (errors, _) = loaded.diagnostics.counts();
    assert!((60..300).contains(&errors), "{errors}");
    assert!(loaded.model.is_none());
}

/// A configuration with some of its bytes changed, moved or gone, as editors and disks do.
fn mutate(text: &str, random: &mut fastrand::Rng) -> String {
    let mut octets = text.as_bytes().to_vec();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(0..octets.len());
        let until = (at + random.usize(1..12)).min(octets.len());
        match random.u8(0..5) {
            0 => drop(octets.drain(at..until)),
            1 => octets[at] = b"[]{}=\"'\n,.#-5a \\\0"[random.usize(0..17)],
            2 => octets.insert(at, b"[]{}=\"'\n,.#-5a \\\0"[random.usize(0..17)]),
            3 => octets.truncate(at.max(1)),
            _ => {
                let moved: Vec<u8> = octets.drain(at..until).collect();
                let to = random.usize(0..=octets.len());
                octets.splice(to..to, moved);
            }
        }
        if octets.is_empty() {
            octets.push(b'\n');
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

#[test]
fn damaged_files_never_panic_nor_give_a_model_with_errors() {
    let seed = 0x6d65_7269_6469_616e;
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = full_example();
    let names = ["config/node.toml", "config/fleet.toml", "zones/app.example.com.toml"];
    let originals = names.map(|name| std::fs::read_to_string(folder.path().join(name)).unwrap());
    for round in 0..400 {
        for (name, original) in names.iter().zip(&originals) {
            let text = if random.bool() { mutate(original, &mut random) } else { original.clone() };
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let (loaded, _) = config::effective(&folder.path().join("config"));
        let errors = loaded.diagnostics.has_errors();
        assert_eq!(loaded.model.is_some(), !errors, "seed {seed}, round {round}");
        assert!(!loaded.diagnostics.to_string().is_empty() || !errors);
    }
}
