//! `meridian cluster check`: whether the bus between nodes is as it should be.

use clap::{Args, Subcommand};
use serde::Serialize;
use tokio::runtime::Builder;

use super::{Config, Exit, Format, Output};
use crate::cluster::{Create, Examined, Grade, examine};
use crate::config;
use crate::health::Prober;
use crate::model::{Cluster, Model, Nats};

/// Arguments of `cluster`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Test the server's version, this node's rights, the streams and their age
    #[command(after_help = "Examples:\n  meridian cluster check --config config\n  \
                            meridian cluster check --config config --create --format json")]
    Check(Check),
}

/// Arguments of `cluster check`.
#[derive(Debug, Args)]
struct Check {
    #[command(flatten)]
    config: Config,
    /// Make the streams that are missing, which takes the rights to do so
    #[arg(long)]
    create: bool,
    /// Make the bucket as a copy of that in this domain, which is the hub's
    #[arg(long, value_name = "DOMAIN", requires = "create")]
    mirror: Option<String>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Report {
    /// Whether nothing is wrong.
    fine: bool,
    /// Why the bus cannot be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreachable: Option<String>,
    examined: Vec<Examined>,
}

pub(super) fn run(options: &Options, output: &mut Output) -> Exit {
    let Command::Check(check) = &options.command;
    let loaded = config::load(&check.config.config);
    let model = match loaded.model {
        Some(model) if !loaded.diagnostics.has_errors() => model,
        Some(_) | None => {
            output.diagnostics(&loaded.diagnostics);
            return Exit::Usage;
        }
    };
    let Cluster::Nats(nats) = &model.node.cluster else {
        let report = Report { fine: true, unreachable: None, examined: Vec::new() };
        match check.format {
            Format::Json => output.json(&report),
            Format::Text => output.line("the engine is embedded: this node is alone"),
        }
        return Exit::Fine;
    };
    let create = match (check.create, &check.mirror) {
        (false, _) => Create::Nothing,
        (true, None) => Create::Streams,
        (true, Some(domain)) => Create::Mirror(domain),
    };
    let report = match look(nats, &model, create) {
        Ok(report) => report,
        Err(why) => {
            output.trouble(format!("error: cannot start the runtime: {why}"));
            return Exit::Failed;
        }
    };
    match check.format {
        Format::Json => output.json(&report),
        Format::Text => text(&report, output),
    }
    match report {
        Report { unreachable: Some(_), .. } => Exit::Unreachable,
        Report { fine: true, .. } => Exit::Fine,
        Report { fine: false, .. } => Exit::Failed,
    }
}

fn look(nats: &Nats, model: &Model, create: Create<'_>) -> std::io::Result<Report> {
    let region = model.fleet.region(model.node.region).name.clone();
    let me = Prober { region, node: model.node.name.clone() };
    let probes = model.node.probe.is_some();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(match runtime.block_on(examine(nats, &me, probes, create)) {
        Ok(examined) => {
            let fine = examined.iter().all(|found| found.grade != Grade::Wrong);
            Report { fine, unreachable: None, examined }
        }
        Err(why) => Report { fine: false, unreachable: Some(why), examined: Vec::new() },
    })
}

fn text(report: &Report, output: &mut Output) {
    if let Some(why) = &report.unreachable {
        output.trouble(format!("error: cannot reach the bus: {why}"));
    }
    for Examined { what, grade, detail } in &report.examined {
        let word = match grade {
            Grade::Fine => "fine",
            Grade::Warning => "warning",
            Grade::Wrong => "wrong",
        };
        output.line(format!("{what:8} {word:8} {detail}"));
    }
}
