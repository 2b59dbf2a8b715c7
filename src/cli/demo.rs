//! `meridian demo`: three regions on this machine, from nothing.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use clap::Args;
use serde::Serialize;
use tokio::net::TcpListener;

use super::{Exit, Format, Output, init, serve};

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Where DNS listens
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5353")]
    dns: SocketAddr,
    /// Where the admin listener is
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8053")]
    admin: SocketAddr,
    /// Port of the sample backends on 127.0.0.11, .12, .21, .22, .31 and .32
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    backends: u16,
    /// For people or for programs; the log goes with it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What `--format json` prints, before the log.
#[derive(Serialize)]
struct Report<'a> {
    dns: SocketAddr,
    admin: SocketAddr,
    backends: Vec<SampleBackend>,
    config: &'a Path,
}

/// A sample backend and the region it stands for.
#[derive(Serialize)]
struct SampleBackend {
    region: &'static str,
    address: SocketAddr,
}

/// The configuration of the demo, by path below its folder: the very files at the top of the
/// repository.
const FILES: [(&str, &str); 4] = [
    ("config/node.toml", include_str!("../../config/node.toml")),
    ("config/fleet.toml", include_str!("../../config/fleet.toml")),
    ("zones/app.example.com.zone", include_str!("../../zones/app.example.com.zone")),
    ("zones/app.example.com.toml", include_str!("../../zones/app.example.com.toml")),
];

/// The sample backends: last octet of 127.0.0.0/24 and region.
const BACKENDS: [(u8, &str); 6] =
    [(11, "eu"), (12, "eu"), (21, "us"), (22, "us"), (31, "ap"), (32, "ap")];

pub(super) fn run(options: &Options, output: &mut Output) -> Exit {
    let folder = Folder(std::env::temp_dir().join(format!("meridian-demo-{}", std::process::id())));
    if let Err(error) = write_files(options, &folder.0) {
        let folder = folder.0.display();
        output.trouble(format!("{folder}: error: cannot write the demo's files: {error}"));
        return Exit::Failed;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.trouble(format!("error: cannot start the runtime: {error}"));
            return Exit::Failed;
        }
    };
    let config = folder.0.join("config");
    if let Err(error) = runtime.block_on(start_backends(options.backends)) {
        output.trouble(error);
        return Exit::Failed;
    }
    match options.format {
        Format::Text => introduce(options, &config, output),
        Format::Json => output.json(&Report {
            dns: options.dns,
            admin: options.admin,
            backends: BACKENDS.map(|backend| sample(backend, options.backends)).into(),
            config: &config,
        }),
    }
    serve::run_on(&runtime, &config, true, Some(options.format), output)
}

fn sample((octet, region): (u8, &'static str), port: u16) -> SampleBackend {
    SampleBackend { region, address: SocketAddr::from(([127, 0, 0, octet], port)) }
}

/// The demo's folder; it goes with the demo.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is in the system's folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write_files(options: &Options, folder: &Path) -> std::io::Result<()> {
    for (path, text) in FILES {
        let text = text
            .replace("127.0.0.1:5353", &options.dns.to_string())
            .replace("127.0.0.1:8053", &options.admin.to_string())
            .replace("= 8080", &format!("= {}", options.backends));
        init::write_new(&folder.join(path), &text)?;
    }
    Ok(())
}

fn introduce(options: &Options, config: &Path, output: &mut Output) {
    let dig = format!("dig @{} -p {} +short", options.dns.ip(), options.dns.port());
    let (backends, config) = (options.backends, config.display());
    // What works in the other terminal too, also when it is not in the search path.
    let own = std::env::args().next().unwrap_or_else(|| "meridian".to_owned());
    output.line(format!(
        "Three regions on this machine: eu, us, ap, each with two sample backends.\n\
         DNS on {}, metrics on http://{}/metrics. Try, in another terminal:\n\n  \
         {dig} www.app.example.com +subnet=80.130.0.0/24     # a client in Germany\n  \
         {dig} www.app.example.com +subnet=73.0.0.0/24       # a client in the United States\n  \
         curl -X POST http://127.0.0.11:{backends}/fail http://127.0.0.12:{backends}/fail  \
         # eu dies; /recover heals it\n  \
         {own} explain www.app.example.com --client 80.130.0.1 --config {config}\n\n\
         Ctrl-C stops it all.\n",
        options.dns, options.admin
    ));
}

/// One sample backend.
struct Backend {
    address: IpAddr,
    region: &'static str,
    healthy: AtomicBool,
}

async fn start_backends(port: u16) -> Result<(), String> {
    for (octet, region) in BACKENDS {
        let address = IpAddr::from([127, 0, 0, octet]);
        let listener = TcpListener::bind((address, port)).await.map_err(|error| {
            format!(
                "error: cannot listen on {address}:{port}: {error} (name another port: --backends)"
            )
        })?;
        let backend = Arc::new(Backend { address, region, healthy: AtomicBool::new(true) });
        let routes = Router::new()
            .route("/", get(greet))
            .route("/health/ready", get(ready))
            .route("/fail", post(async |state| set_healthy(&state, false)))
            .route("/recover", post(async |state| set_healthy(&state, true)))
            .with_state(backend);
        // The backends end with the runtime they run on.
        tokio::spawn(async move { axum::serve(listener, routes).await });
    }
    Ok(())
}

async fn greet(State(backend): State<Arc<Backend>>) -> String {
    format!("{} in {}\n", backend.address, backend.region)
}

async fn ready(State(backend): State<Arc<Backend>>) -> (StatusCode, &'static str) {
    if backend.healthy.load(Ordering::Relaxed) {
        (StatusCode::OK, "{\"status\":\"ok\"}\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "{\"status\":\"failing\"}\n")
    }
}

fn set_healthy(State(backend): &State<Arc<Backend>>, healthy: bool) -> String {
    backend.healthy.store(healthy, Ordering::Relaxed);
    let state = if healthy { "answers its probes again" } else { "fails its probes now" };
    format!("{} in {} {state}\n", backend.address, backend.region)
}
