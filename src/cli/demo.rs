//! `meridian demo`: three regions on this machine, from nothing.

mod backends;
mod crowd;
mod nodes;
mod site;
mod tour;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::backends::{SampleBackend, start_backends};
use self::nodes::Nodes;
use self::site::{Folder, REGIONS};
use super::{Exit, Format, Output, serve};

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Where DNS listens
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5353")]
    dns: SocketAddr,
    /// Where the admin listener is
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8053")]
    admin: SocketAddr,
    /// Port of the proxies on 127.0.0.10, .20 and .30
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    proxies: u16,
    /// Port of the sample backends on 127.0.0.11, .12, .21, .22, .31 and .32
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    backends: u16,
    /// Play a scene and end: clients everywhere, a region dies and returns, a drill
    #[arg(long)]
    tour: bool,
    /// With --tour: write the drill's report here; without it beside other temporary files
    #[arg(long, value_name = "FILE", requires = "tour")]
    report: Option<PathBuf>,
    /// With --tour: show the report in the browser in the end, as on a desktop
    #[arg(long, requires = "tour")]
    open: bool,
    /// For people or for programs; the log goes with it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What `--format json` prints, before the log.
#[derive(Serialize)]
struct Report<'a> {
    dns: SocketAddr,
    admin: SocketAddr,
    proxies: Vec<SocketAddr>,
    backends: Vec<SampleBackend>,
    config: &'a Path,
}

pub(super) fn run(options: &Options, output: &mut Output) -> Exit {
    let folder = match Folder::write(options) {
        Ok(folder) => folder,
        Err(error) => {
            output.trouble(format!("error: cannot write the demo's files: {error}"));
            return Exit::Failed;
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.trouble(format!("error: cannot start the runtime: {error}"));
            return Exit::Failed;
        }
    };
    if let Err(error) = runtime.block_on(start_backends(options.backends)) {
        output.trouble(error);
        return Exit::Failed;
    }
    if let Err(error) = free(options.proxies) {
        output.trouble(error);
        return Exit::Failed;
    }
    // The tour watches from outside, so that all nodes are processes of their own.
    let own = REGIONS.iter().filter(|(_, _, config)| options.tour || *config != "config");
    let configs: Vec<&str> = own.map(|(_, _, config)| *config).collect();
    let nodes = match Nodes::start(&folder, &configs) {
        Ok(nodes) => nodes,
        Err(error) => {
            output.trouble(format!("error: cannot start the nodes of the regions: {error}"));
            return Exit::Failed;
        }
    };
    if options.tour {
        let stop = CancellationToken::new();
        runtime.spawn(interrupted(stop.clone()));
        return tour::play(options, &folder, (nodes, stop), output);
    }
    let config = folder.path("config");
    match options.format {
        Format::Text => introduce(options, &config, output),
        Format::Json => output.json(&Report {
            dns: options.dns,
            admin: options.admin,
            proxies: REGIONS.map(|(_, octet, _)| site::proxy(octet, options.proxies)).into(),
            backends: backends::all(options.backends),
            config: &config,
        }),
    }
    let exit = serve::run_on(&runtime, &config, true, Some(options.format), output);
    drop(nodes);
    exit
}

/// Whether the proxies can listen; the nodes would only say so in their logs.
fn free(port: u16) -> Result<(), String> {
    for (_, octet, _) in REGIONS {
        let address = site::proxy(octet, port);
        std::net::TcpListener::bind(address).map_err(|error| {
            format!("error: cannot listen on {address}: {error} (name another port: --proxies)")
        })?;
    }
    Ok(())
}

/// Passes on that somebody wants it to end.
async fn interrupted(stop: CancellationToken) {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    stop.cancel();
}

fn introduce(options: &Options, config: &Path, output: &mut Output) {
    let dig = format!("dig @{} -p {} +short", options.dns.ip(), options.dns.port());
    let (backends, proxies, config) = (options.backends, options.proxies, config.display());
    let (dns, admin) = (options.dns, options.admin);
    // What works in the other terminal too, also when it is not in the search path.
    let own = std::env::args().next().unwrap_or_else(|| "meridian".to_owned());
    output.line(format!(
        "Three regions on this machine: eu, us, ap, each with a proxy and two sample backends.\n\
         DNS on {dns}, dashboard on http://{admin}/, metrics on http://{admin}/metrics.\n\
         Try, in another terminal:\n\n  \
         {dig} www.app.example.com +subnet=80.130.0.0/24     # a client in Germany\n  \
         {dig} www.app.example.com +subnet=73.0.0.0/24       # a client in the United States\n  \
         curl http://127.0.0.10:{proxies}/   # from the proxy of eu\n  \
         curl -X POST http://127.0.0.11:{backends}/fail http://127.0.0.12:{backends}/fail  \
         # eu dies; /recover heals it\n  \
         {own} explain www.app.example.com --client 80.130.0.1 --config {config}\n  \
         {own} force drain region:eu --for 1m --reason 'a try' --node http://{admin}\n  \
         {own} drill run --region us --for 10s --dns {dns} --node http://{admin}\n\n\
         Ctrl-C stops it all. `{own} demo --tour` shows all of it by itself.\n",
    ));
}
