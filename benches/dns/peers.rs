//! The servers that are compared, each with the configuration its manual recommends for one core.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::Case;

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// Sends every query back: what the system calls alone cost.
    Null,
    Meridian,
    /// The program as scripts/release builds it.
    Profiled,
    Gdnsd,
    Nsd,
    Knot,
    PowerDns,
    Bind,
}

/// What a server is started with.
pub(crate) struct Setup<'s> {
    pub(crate) case: Case,
    pub(crate) folder: &'s Path,
    pub(crate) port: u16,
    /// The zone example.com as a master file.
    pub(crate) zone: &'s Path,
    /// A city database, for the cases that steer.
    pub(crate) database: Option<&'s Path>,
    /// The program as scripts/release builds it.
    pub(crate) profiled: &'s Path,
}

/// Name, latitude, longitude and address of a region.
type Region = (&'static str, f64, f64, &'static str);

const REGIONS: [Region; 6] = [
    ("use", 38.9, -77.0, "192.0.2.1"),
    ("usw", 37.4, -122.0, "192.0.2.2"),
    ("euw", 50.1, 8.7, "192.0.2.3"),
    ("apse", 1.3, 103.8, "192.0.2.4"),
    ("apne", 35.7, 139.7, "192.0.2.5"),
    ("sa", -23.5, -46.6, "192.0.2.6"),
];
/// Weights of the four endpoints of the weighted name.
const WEIGHTS: [u32; 4] = [10, 20, 30, 40];

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Null => "null responder",
            Self::Meridian => "Meridian",
            Self::Profiled => "Meridian, by profile",
            Self::Gdnsd => "gdnsd",
            Self::Nsd => "NSD",
            Self::Knot => "Knot",
            Self::PowerDns => "PowerDNS",
            Self::Bind => "BIND",
        }
    }

    /// Whether it can do what the case asks for.
    pub(crate) fn can(self, case: Case) -> bool {
        match case {
            Case::Static | Case::Million => true,
            Case::Geo => !matches!(self, Self::Nsd | Self::Bind),
            Case::Weighted => {
                matches!(self, Self::Null | Self::Meridian | Self::Profiled | Self::Gdnsd)
            }
        }
    }

    /// Name whose address the geo case asks for; the geo backend of one peer has zones of its own.
    pub(crate) fn geo_name(self) -> &'static str {
        if self == Self::PowerDns { "www.geo.test" } else { "geo.example.com" }
    }

    /// What must be installed for it; an absolute path of what scripts/release has built.
    pub(crate) fn program(self, profiled: &Path) -> PathBuf {
        let name = match self {
            Self::Null | Self::Meridian => "taskset",
            Self::Profiled => return profiled.to_owned(),
            Self::Gdnsd => "gdnsd",
            Self::Nsd => "nsd",
            Self::Knot => "knotd",
            Self::PowerDns => "pdns_server",
            Self::Bind => "named",
        };
        name.into()
    }

    /// Writes its configuration and says how it is started.
    pub(crate) fn prepare(self, setup: &Setup<'_>) -> io::Result<Vec<String>> {
        let folder = setup.folder;
        let at = |name: &str| folder.join(name).display().to_string();
        let command = match self {
            Self::Null => {
                let own = std::env::current_exe()?.display().to_string();
                vec![own, "null".to_owned(), format!("127.0.0.1:{}", setup.port)]
            }
            Self::Meridian | Self::Profiled => {
                meridian(setup)?;
                let profiled = self == Self::Profiled;
                let server =
                    if profiled { setup.profiled } else { env!("CARGO_BIN_EXE_meridian").as_ref() };
                let server = server.display().to_string();
                vec![server, "serve".to_owned(), "--config".to_owned(), at("config")]
            }
            Self::Gdnsd => {
                gdnsd(setup)?;
                vec!["gdnsd".to_owned(), "-c".to_owned(), at(""), "start".to_owned()]
            }
            Self::Nsd => {
                fs::write(folder.join("nsd.conf"), nsd(setup))?;
                vec!["nsd".to_owned(), "-d".to_owned(), "-c".to_owned(), at("nsd.conf")]
            }
            Self::Knot => {
                knot(setup)?;
                vec!["knotd".to_owned(), "-c".to_owned(), at("knot.conf")]
            }
            Self::PowerDns => {
                power_dns(setup)?;
                let dir = format!("--config-dir={}", at(""));
                ["pdns_server", &dir, "--guardian=no", "--daemon=no", "--disable-syslog"]
                    .map(str::to_owned)
                    .to_vec()
            }
            Self::Bind => {
                fs::write(folder.join("named.conf"), bind(setup))?;
                let file = at("named.conf");
                ["named", "-f", "-n", "1", "-c", &file].map(str::to_owned).to_vec()
            }
        };
        Ok(command)
    }
}

impl Setup<'_> {
    /// Whether the steered names are configured.
    fn steers(&self) -> bool {
        matches!(self.case, Case::Geo | Case::Weighted)
    }

    fn database(&self) -> String {
        self.database.map(|path| path.display().to_string()).unwrap_or_default()
    }

    fn put(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)
    }
}

fn meridian(setup: &Setup<'_>) -> io::Result<()> {
    // The limiter works, at rates that no load reaches.
    let mut node = format!(
        "version = 1\n[node]\nname = \"bench\"\nregion = \"use\"\n\
        [dns]\nlisten = [\"127.0.0.1:{}\"]\nworkers = 1\n\
        [dns.limits.response_rate]\npositive = \"100000000/s\"\nnegative = \"100000000/s\"\n\
        error = \"100000000/s\"\n[log]\nlevel = \"warn\"\n",
        setup.port
    );
    let mut fleet = "version = 1\n".to_owned();
    for (name, latitude, longitude, _) in REGIONS {
        let place = format!("{{ lat = {latitude:?}, lon = {longitude:?} }}");
        let _ = writeln!(fleet, "[region.{name}]\nlocation = {place}");
    }
    if setup.steers() {
        let _ =
            writeln!(node, "[geo]\ndatabases = [\"{}\"]\nmax_age = \"3650d\"", setup.database());
        let _ = writeln!(fleet, "[pool.geo]\nendpoints = [");
        for (name, .., address) in REGIONS {
            let _ = writeln!(fleet, "  {{ region = \"{name}\", address = \"{address}\" }},");
        }
        let _ = writeln!(fleet, "]\n[pool.weighted]\nendpoints = [");
        for (weight, number) in WEIGHTS.iter().zip(1..) {
            let address = format!("192.0.2.{number}");
            let _ = writeln!(
                fleet,
                "  {{ region = \"use\", address = \"{address}\", weight = {weight} }},"
            );
        }
        fleet.push_str("]\n");
        setup.put(
            "zones/example.com.toml",
            "version = 1\n[service.geo]\npool = \"geo\"\npolicy = [\"proximity\"]\n\
            ttl = { min = \"60s\", max = \"60s\" }\n[service.weighted]\npool = \"weighted\"\n\
            policy = [\"weighted\"]\nttl = { min = \"60s\", max = \"60s\" }\n",
        )?;
    }
    setup.put("config/node.toml", &node)?;
    setup.put("config/fleet.toml", &fleet)?;
    setup.put("zones/.keep", "")?;
    fs::copy(setup.zone, setup.folder.join("zones/example.com.zone")).map(drop)
}

fn gdnsd(setup: &Setup<'_>) -> io::Result<()> {
    let here = setup.folder.display();
    for folder in ["run", "state", "geoip"] {
        fs::create_dir_all(setup.folder.join(folder))?;
    }
    let mut config = format!(
        "options => {{ listen => 127.0.0.1:{} udp_threads => 1 tcp_threads => 1 \
        run_dir => {here}/run state_dir => {here}/state }}\n",
        setup.port
    );
    let mut zone = fs::read_to_string(setup.zone)?;
    if setup.steers() {
        zone.push_str("geo 60 DYNA geoip!web\nweighted 60 DYNA weighted!w\n");
        let each = |of: fn(&Region) -> String| {
            REGIONS.iter().fold(String::new(), |text, region| {
                format!("{text} {} => {}", region.0, of(region))
            })
        };
        let names = REGIONS.map(|(name, ..)| name).join(", ");
        let weights = WEIGHTS.iter().zip(1..).fold(String::new(), |text, (weight, number)| {
            format!("{text} a{number} => [192.0.2.{number}, {weight}]")
        });
        let _ = writeln!(
            config,
            "plugins => {{ geoip => {{ maps => {{ m => {{ geoip2_db => {}\n\
            datacenters => [{names}]\nauto_dc_coords => {{ {} }} }} }}\n\
            resources => {{ web => {{ map => m, service_types => up, dcmap => {{ {} }} }} }} }}\n\
            weighted => {{ service_types => up w => {{ multi => false {weights} }} }} }}",
            setup.database(),
            each(|(_, latitude, longitude, _)| format!("[{latitude}, {longitude}]")),
            each(|(.., address)| (*address).to_owned()),
        );
    }
    setup.put("zones/example.com", &zone)?;
    setup.put("config", &config)
}

fn nsd(setup: &Setup<'_>) -> String {
    let (here, zone, port) = (setup.folder.display(), setup.zone.display(), setup.port);
    format!(
        "server:\n server-count: 1\n ip-address: 127.0.0.1@{port}\n username: \"\"\n \
        chroot: \"\"\n database: \"\"\n zonesdir: \"{here}\"\n pidfile: \"{here}/nsd.pid\"\n \
        xfrdfile: \"{here}/xfrd\"\n zonelistfile: \"{here}/list\"\n xfrdir: \"{here}\"\n \
        minimal-responses: yes\n rrl-ratelimit: 0\n rrl-whitelist-ratelimit: 0\n\
        remote-control:\n control-enable: no\nzone:\n name: example.com\n zonefile: {zone}\n"
    )
}

fn knot(setup: &Setup<'_>) -> io::Result<()> {
    let (here, zone, port) = (setup.folder.display(), setup.zone.display(), setup.port);
    fs::create_dir_all(setup.folder.join("db"))?;
    let (mut modules, mut subnet, mut module) = (String::new(), "", "");
    if setup.steers() {
        modules = format!(
            "mod-geoip:\n - id: geo\n   config-file: \"{here}/geo.conf\"\n   ttl: 60\n   \
            mode: geodb\n   geodb-file: \"{}\"\n   geodb-key: [continent/code, country/iso_code]\n",
            setup.database()
        );
        (subnet, module) = (" edns-client-subnet: on\n", "   module: mod-geoip/geo\n");
        let keys = [("NA;*", 1), ("NA;US", 2), ("EU;*", 3), ("AF;*", 3), ("AS;*", 4), ("OC;*", 4)];
        let more = [("AS;JP", 5), ("AS;KR", 5), ("SA;*", 6), ("*;*", 1)];
        let lines = keys.iter().chain(&more).fold(String::new(), |text, (key, number)| {
            format!("{text}  - geo: \"{key}\"\n    A: 192.0.2.{number}\n")
        });
        setup.put("geo.conf", &format!("geo.example.com:\n{lines}"))?;
    }
    let config = format!(
        "server:\n rundir: \"{here}\"\n listen: 127.0.0.1@{port}\n udp-workers: 1\n \
        tcp-workers: 1\n background-workers: 1\n{subnet}log:\n - target: stderr\n   any: warning\n\
        database:\n storage: \"{here}/db\"\n{modules}template:\n - id: default\n   \
        storage: \"{here}\"\n   zonefile-sync: -1\n   journal-content: none\nzone:\n \
        - domain: example.com\n   file: \"{zone}\"\n{module}"
    );
    setup.put("knot.conf", &config)
}

fn power_dns(setup: &Setup<'_>) -> io::Result<()> {
    let (here, zone, port) = (setup.folder.display(), setup.zone.display(), setup.port);
    let named = format!("zone \"example.com\" {{ type master; file \"{zone}\"; }};\n");
    setup.put("named.conf", &named)?;
    let mut config = format!(
        "bind-config={here}/named.conf\nlocal-address=127.0.0.1\nlocal-port={port}\n\
        receiver-threads=1\ndistributor-threads=1\nsocket-dir={here}\nversion-string=anonymous\n\
        loglevel=3\n"
    );
    if setup.steers() {
        let continents = [("na", 1), ("eu", 3), ("as", 4), ("sa", 6), ("oc", 4), ("af", 3)];
        let names = continents.iter().chain(&[("unknown", 1)]).fold(String::new(), |text, at| {
            format!("{text}    {}.geo.test: [ {{a: 192.0.2.{}}} ]\n", at.0, at.1)
        });
        let zones = format!(
            "domains:\n- domain: geo.test\n  ttl: 60\n  records:\n    geo.test:\n      \
            - soa: ns1.geo.test host.geo.test 1 3600 900 604800 300\n      - ns: ns1.geo.test\n\
            {names}  services:\n    www.geo.test: ['%cn.geo.test', 'unknown.geo.test']\n"
        );
        setup.put("geo.yml", &zones)?;
        let _ = writeln!(
            config,
            "launch=bind,geoip\ngeoip-database-files=mmdb:{}\ngeoip-zones-file={here}/geo.yml\n\
            edns-subnet-processing=yes",
            setup.database()
        );
    } else {
        config.push_str("launch=bind\n");
    }
    setup.put("pdns.conf", &config)
}

fn bind(setup: &Setup<'_>) -> String {
    let (here, zone, port) = (setup.folder.display(), setup.zone.display(), setup.port);
    format!(
        "options {{ directory \"{here}\"; listen-on port {port} {{ 127.0.0.1; }};\n\
        listen-on-v6 {{ none; }}; recursion no; pid-file \"{here}/pid\"; notify no;\n\
        session-keyfile \"{here}/key\"; minimal-responses yes; dnssec-validation no;\n\
        managed-keys-directory \"{here}\"; lock-file none; allow-transfer {{ none; }}; }};\n\
        controls {{ }};\nlogging {{ category default {{ null; }}; }};\n\
        zone \"example.com\" {{ type primary; file \"{zone}\"; }};\n"
    )
}
