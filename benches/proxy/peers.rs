//! The proxies that are compared, each on one thread, with kept connections on both sides.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::Case;

/// A proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    Meridian,
    /// The program as scripts/release builds it.
    Profiled,
    Nginx,
    Haproxy,
    /// The release that the project's targets name, where scripts/bench-proxy has put it.
    Haproxy28,
    Envoy,
    Traefik,
    Varnish,
}

/// What a proxy is started with.
pub(crate) struct Setup<'s> {
    pub(crate) case: Case,
    pub(crate) folder: &'s Path,
    /// Where `tls/bench.pem` and `tls/bench.key` lie.
    pub(crate) work: &'s Path,
    pub(crate) port: u16,
    /// The port of the origin.
    pub(crate) origin: u16,
    pub(crate) program: PathBuf,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Meridian => "Meridian",
            Self::Profiled => "Meridian, by profile",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Haproxy28 => "HAProxy 2.8",
            Self::Envoy => "Envoy",
            Self::Traefik => "Traefik",
            Self::Varnish => "Varnish",
        }
    }

    /// Whether it can do what the case asks for.
    pub(crate) fn can(self, case: Case) -> bool {
        match self {
            Self::Meridian | Self::Profiled | Self::Nginx => true,
            Self::Varnish => case == Case::Cache,
            _ => case != Case::Cache,
        }
    }

    /// Its program; `None`: it is not installed.
    pub(crate) fn program(self, tools: &Path, profiled: &Path) -> Option<PathBuf> {
        let name = match self {
            Self::Meridian => return Some(env!("CARGO_BIN_EXE_meridian").into()),
            Self::Profiled => return profiled.is_file().then(|| profiled.to_owned()),
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Haproxy28 => {
                return Some(tools.join("haproxy-2.8")).filter(|path| path.is_file());
            }
            Self::Envoy => "envoy",
            Self::Traefik => "traefik",
            Self::Varnish => "varnishd",
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([tools.to_owned()]);
        let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file())?;
        fs::canonicalize(found).ok()
    }

    /// Writes its configuration and says how it is started.
    pub(crate) fn prepare(self, setup: &Setup<'_>) -> io::Result<Vec<String>> {
        let at = |name: &str| setup.folder.join(name).display().to_string();
        let program = setup.program.display().to_string();
        let (port, origin) = (setup.port, setup.origin);
        let words: Vec<String> = match self {
            Self::Meridian | Self::Profiled => {
                meridian(setup)?;
                vec!["serve".into(), "--config".into(), at("config")]
            }
            Self::Nginx => {
                fs::write(at("nginx.conf"), nginx(setup))?;
                vec!["-e".into(), "stderr".into(), "-c".into(), at("nginx.conf")]
            }
            Self::Haproxy | Self::Haproxy28 => {
                fs::write(at("haproxy.cfg"), haproxy(setup)?)?;
                vec!["-db".into(), "-f".into(), at("haproxy.cfg")]
            }
            Self::Envoy => {
                fs::write(at("envoy.yaml"), envoy(setup))?;
                let words = ["--concurrency", "1", "--use-dynamic-base-id", "-l", "error", "-c"];
                words.iter().map(ToString::to_string).chain([at("envoy.yaml")]).collect()
            }
            Self::Traefik => {
                fs::write(at("routes.yaml"), traefik(setup))?;
                vec![
                    format!("--entrypoints.front.address=127.0.0.1:{port}"),
                    format!("--providers.file.filename={}", at("routes.yaml")),
                    "--log.level=ERROR".into(),
                    "--global.checknewversion=false".into(),
                    "--global.sendanonymoususage=false".into(),
                    "--serverstransport.maxidleconnsperhost=512".into(),
                ]
            }
            Self::Varnish => ["-F", "-p", "thread_pools=1", "-p", "thread_pool_min=50"]
                .iter()
                .map(ToString::to_string)
                .chain(["-a".into(), format!("127.0.0.1:{port}")])
                .chain(["-b".into(), format!("127.0.0.1:{origin}")])
                .chain(["-n".into(), at("varnish"), "-s".into(), "malloc,64m".into()])
                .collect(),
        };
        let environment = (self == Self::Traefik).then(|| ["env".into(), "GOMAXPROCS=1".into()]);
        Ok(environment.into_iter().flatten().chain([program]).chain(words).collect())
    }
}

impl Setup<'_> {
    fn tls(&self, file: &str) -> String {
        self.work.join("tls").join(file).display().to_string()
    }
}

fn meridian(setup: &Setup<'_>) -> io::Result<()> {
    // Several listen at once, so that none may have the usual port.
    let listener = if setup.case.secure() { "http = []\nhttps" } else { "http" };
    let (port, origin) = (setup.port, setup.origin);
    let tls = setup.tls("");
    let node = format!(
        "version = 1\n[node]\nname = \"bench\"\nregion = \"here\"\n\
        [proxy]\n{listener} = [\"127.0.0.1:{port}\"]\nworkers = 1\ncertificates = \"{tls}\"\n\
        [proxy.limits]\nper_client = 100000\nconnections = 100000\nidle = \"1h\"\n\
        [log]\nlevel = \"warn\"\n"
    );
    let node = if setup.case.secure() {
        node
    } else {
        node.replace(&format!("certificates = \"{tls}\"\n"), "")
    };
    let cache = if setup.case == Case::Cache { "cache = { size = \"64MiB\" }\n" } else { "" };
    let fleet = format!(
        "version = 1\n[region.here]\nlocation = \"DE\"\n\
        [pool.web]\nendpoints = [{{ region = \"here\", address = \"127.0.0.1\" }}]\n\
        [[route]]\nhosts = [\"localhost\"]\npath = \"/\"\npool = \"web\"\n\
        retry = {{ attempts = 2, on = [\"connect\", \"reset\", \"503\"] }}\n{cache}\
        upstream = {{ port = {origin} }}\n"
    );
    for (name, text) in [("config/node.toml", node), ("config/fleet.toml", fleet)] {
        fs::create_dir_all(setup.folder.join("config"))?;
        fs::write(setup.folder.join(name), text)?;
    }
    fs::create_dir_all(setup.folder.join("zones"))
}

fn nginx(setup: &Setup<'_>) -> String {
    let Setup { port, origin, .. } = setup;
    let path = setup.folder.display();
    let listen = if setup.case.secure() {
        format!(
            "listen 127.0.0.1:{port} ssl http2;\nssl_certificate {};\nssl_certificate_key {};",
            setup.tls("bench.pem"),
            setup.tls("bench.key")
        )
    } else {
        format!("listen 127.0.0.1:{port};")
    };
    let (zone, cache) = if setup.case == Case::Cache {
        let zone = format!("proxy_cache_path {path}/cache keys_zone=kept:10m;");
        (zone, "proxy_cache kept;\nproxy_cache_lock on;")
    } else {
        (String::new(), "")
    };
    format!(
        "daemon off;\nworker_processes 1;\npid {path}/pid;\nerror_log {path}/error.log;\n\
        events {{ worker_connections 8192; }}\n\
        http {{\naccess_log off;\nkeepalive_requests 100000000;\nkeepalive_timeout 1h;\n\
        client_body_temp_path {path}/body;\nproxy_temp_path {path}/temp;\n\
        proxy_max_temp_file_size 0;\n\
        fastcgi_temp_path {path}/fastcgi;\nuwsgi_temp_path {path}/uwsgi;\n\
        scgi_temp_path {path}/scgi;\n{zone}\n\
        upstream origin {{ server 127.0.0.1:{origin}; keepalive 256; \
        keepalive_requests 100000000; }}\n\
        server {{\n{listen}\nserver_name localhost;\nlocation / {{\nproxy_pass http://origin;\n\
        proxy_http_version 1.1;\nproxy_set_header Connection \"\";\n\
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
        proxy_next_upstream error timeout http_503;\nproxy_connect_timeout 1s;\n\
        proxy_read_timeout 15s;\n{cache}\n}}\n}}\n}}\n"
    )
}

fn haproxy(setup: &Setup<'_>) -> io::Result<String> {
    let Setup { port, origin, .. } = setup;
    let tls = if setup.case.secure() {
        let both = fs::read_to_string(setup.tls("bench.pem"))?
            + &fs::read_to_string(setup.tls("bench.key"))?;
        let file = setup.folder.join("both.pem");
        fs::write(&file, both)?;
        format!(" ssl crt {} alpn h2,http/1.1", file.display())
    } else {
        String::new()
    };
    Ok(format!(
        "global\n nbthread 1\n maxconn 8000\n\
        defaults\n mode http\n timeout connect 1s\n timeout client 1h\n timeout server 15s\n\
        timeout http-request 10s\n retries 2\n option redispatch\n option forwardfor\n\
        retry-on conn-failure empty-response 503\n http-reuse always\n\
        frontend front\n bind 127.0.0.1:{port}{tls}\n \
        use_backend web if {{ hdr(host) -m beg localhost }}\n\
        backend web\n server one 127.0.0.1:{origin}\n"
    ))
}

fn envoy(setup: &Setup<'_>) -> String {
    let tls = if setup.case.secure() { include_str!("envoy-tls.yaml") } else { "" };
    include_str!("envoy.yaml")
        .replace("PORT", &setup.port.to_string())
        .replace("ORIGIN", &setup.origin.to_string())
        .replace("TLS\n", tls)
        .replace("CHAIN", &setup.tls("bench.pem"))
        .replace("KEY", &setup.tls("bench.key"))
}

fn traefik(setup: &Setup<'_>) -> String {
    let tls = if setup.case.secure() {
        format!(
            "      tls: {{}}\ntls:\n  certificates:\n  - certFile: {}\n    keyFile: {}\n",
            setup.tls("bench.pem"),
            setup.tls("bench.key")
        )
    } else {
        String::new()
    };
    format!(
        "http:\n  services:\n    web:\n      loadBalancer:\n        servers:\n        \
        - url: http://127.0.0.1:{}\n  routers:\n    front:\n      rule: PathPrefix(`/`)\n      \
        service: web\n{tls}",
        setup.origin
    )
}
