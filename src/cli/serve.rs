//! `meridian serve`: runs the roles of this node until it is told to stop.

mod cluster;
mod descriptors;
mod handover;
mod judge;
mod latency;
mod listeners;
mod node;
mod plans;
mod probes;
mod reloader;
mod resolvers;
mod running;
mod serials;
mod state;
mod tasks;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{ArgAction, Args};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, Format, Output, logging};
use crate::metrics::Metrics;
use crate::model::LogFormat;
use crate::snapshot::load;

pub(super) use latency::saved as saved_latency;

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Folder of node.toml and fleet.toml
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
    /// Print all warnings first, as `check` does; a log in JSON holds them already
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL",
          num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    check_first: bool,
    /// The log, for people or for programs; without it the log is as node.toml says
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// End with the process of this number, which has started this one
    #[arg(long, value_name = "PID", hide = true)]
    with_parent: Option<i32>,
}

pub(super) fn run(options: &Options, output: &mut Output) -> Exit {
    if let Some(parent) = options.with_parent
        && !ends_with(parent)
    {
        output.trouble("error: the process that has started this one is gone");
        return Exit::Failed;
    }
    match Builder::new_multi_thread().enable_all().thread_name("meridian").build() {
        Ok(runtime) => {
            run_on(&runtime, &options.config, options.check_first, options.format, output)
        }
        Err(error) => {
            output.trouble(format!("error: cannot start the runtime: {error}"));
            Exit::Failed
        }
    }
}

/// Has the kernel end this process when its parent is gone; `false`: it is.
fn ends_with(parent: i32) -> bool {
    set_pdeathsig(Signal::SIGTERM).is_ok() && getppid().as_raw() == parent
}

/// Serves the configuration of a folder on a runtime.
pub(super) fn run_on(
    runtime: &Runtime,
    dir: &Path,
    check_first: bool,
    format: Option<Format>,
    output: &mut Output,
) -> Exit {
    // Heard before the files are read, which may take long: it would end the process.
    let hangup = match runtime.block_on(async { signal(SignalKind::hangup()) }) {
        Ok(hangup) => hangup,
        Err(error) => {
            output.trouble(format!("error: cannot catch SIGHUP: {error}"));
            return Exit::Failed;
        }
    };
    let loaded = match load(dir, None) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            output.diagnostics(&diagnostics);
            output
                .trouble("not started: correct the configuration (meridian check shows this too)");
            return Exit::Usage;
        }
    };
    // A program that reads the log can make nothing of other lines.
    if check_first && loaded.model.node.log.format == LogFormat::Text {
        output.diagnostics(&loaded.diagnostics);
    }
    let metrics = match Metrics::new() {
        Ok(metrics) => Arc::new(metrics),
        Err(error) => {
            output.trouble(format!("error: cannot make the metrics: {error}"));
            return Exit::Failed;
        }
    };
    let mut log = loaded.model.node.log.clone();
    if let Some(format) = format {
        log.format = match format {
            Format::Text => LogFormat::Text,
            Format::Json => LogFormat::Json,
        };
    }
    if let Err(error) = logging::start(&log) {
        output.trouble(format!("error: {error}"));
        return Exit::Usage;
    }
    match runtime.block_on(node::serve(dir, loaded, metrics, hangup)) {
        Ok(()) => Exit::Fine,
        Err(error) => {
            output.trouble(format!("error: {error}"));
            Exit::Failed
        }
    }
}
