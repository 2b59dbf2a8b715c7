//! The commands: the only place that wires, spawns and joins.

mod admin;
mod check;
mod cluster;
mod completions;
mod demo;
mod drill;
mod exit;
mod explain;
mod force;
#[cfg(test)]
mod golden;
mod init;
mod logging;
mod output;
mod remote;
mod serve;
mod simulate;
mod status;
mod watch;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use exit::Exit;
use output::Output;

/// DNS-based global server load balancing: authoritative DNS that answers with healthy regions.
#[derive(Debug, Parser)]
#[command(name = "meridian", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:\n  meridian demo\n  meridian check --config config";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run three regions with sample backends and DNS on this machine
    #[command(after_help = "Examples:\n  meridian demo\n  meridian demo --dns 127.0.0.1:5454")]
    Demo(demo::Options),
    /// Write a small, commented, valid configuration
    #[command(after_help = "Examples:\n  meridian init .\n  meridian init /etc/meridian")]
    Init(init::Options),
    /// Run this node's roles
    #[command(after_help = "Examples:\n  meridian serve --config config\n  \
                            meridian serve --config /etc/meridian/config --check-first=false")]
    Serve(serve::Options),
    /// Show all mistakes and warnings of a configuration
    #[command(after_help = "Examples:\n  meridian check --config config\n  \
                            meridian check --config config --diff staged/config")]
    Check(check::Options),
    /// Show why a client gets the answer it gets
    #[command(after_help = "Examples:\n  \
                            meridian explain www.app.example.com --client 203.0.113.7\n  \
                            meridian explain www.app.example.com AAAA --client 2001:db8::1 \
                            --node http://127.0.0.1:8053")]
    Explain(explain::Options),
    /// Show who goes where before and after regions fail, offline
    #[command(after_help = "Examples:\n  meridian simulate --fail eu-central --config config\n  \
                            meridian simulate --fail us-east ap-south --clients 1000000 \
                            --picture failover.svg")]
    Simulate(simulate::Options),
    /// Show what a running node serves, and how healthy it is
    #[command(after_help = "Examples:\n  meridian status\n  \
                            meridian status --watch --node http://127.0.0.1:8053")]
    Status(status::Options),
    /// Override health on a running node: up, down, drain, clear, list
    #[command(after_help = "Examples:\n  \
        meridian force down region:eu-central --for 30m --reason 'network work'\n  \
        meridian force list")]
    Force(force::Options),
    /// Try a failover on the live fleet: plan, run, history
    #[command(after_help = "Examples:\n  meridian drill plan --region eu-central\n  \
                            meridian drill run lose-eu.toml --report lose-eu.html")]
    Drill(drill::Options),
    /// Make tokens for the admin listener, and check its audit log
    #[command(after_help = "Examples:\n  meridian admin token alice --role operate\n  \
                            meridian admin audit --config config")]
    Admin(admin::Options),
    /// Look after the bus between nodes
    #[command(after_help = "Examples:\n  meridian cluster check --config config\n  \
                            meridian cluster check --config config --create --format json")]
    Cluster(cluster::Options),
    /// Print what a shell completes
    #[command(after_help = "Examples:\n  meridian completions bash > meridian.bash\n  \
                            meridian completions zsh > _meridian")]
    Completions(completions::Options),
}

/// Which configuration.
#[derive(Debug, Args)]
struct Config {
    /// Folder of node.toml and fleet.toml
    #[arg(long, value_name = "DIR", default_value = "config")]
    config: PathBuf,
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Runs the command of these arguments.
pub fn run(cli: &Cli) -> Exit {
    let mut output = Output::default();
    match &cli.command {
        Command::Demo(options) => demo::run(options, &mut output),
        Command::Init(options) => init::run(options, &mut output),
        Command::Serve(options) => serve::run(options, &mut output),
        Command::Check(options) => check::run(options, &mut output),
        Command::Explain(options) => explain::run(options, &mut output),
        Command::Simulate(options) => simulate::run(options, &mut output),
        Command::Status(options) => status::run(options, &mut output),
        Command::Force(options) => force::run(options, &mut output),
        Command::Drill(options) => drill::run(options, &mut output),
        Command::Admin(options) => admin::run(options, &mut output),
        Command::Cluster(options) => cluster::run(options, &mut output),
        Command::Completions(options) => completions::run(options, &mut output),
    }
}
