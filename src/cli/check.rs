//! `meridian check`: all mistakes and warnings, without touching a running node.

use clap::Args;
use serde::Serialize;

use super::{Config, Exit, Format, Output};
use crate::config::{self, Effective};
use crate::diagnostic::{Diagnostic, Diagnostics, Location};
use crate::model::{Check, Model};
use crate::probe::icmp_refusal;
use crate::snapshot::load;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    config: Config,
    /// Print every value in force and where it comes from
    #[arg(long)]
    effective: bool,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    diagnostics: Vec<&'a Diagnostic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective: Option<&'a [Effective]>,
}

pub(super) fn run(options: &Options, output: &mut Output) -> Exit {
    let dir = &options.config.config;
    let loaded = load(dir, None);
    let (mut diagnostics, zones) = match &loaded {
        Ok(loaded) => (loaded.diagnostics.clone(), loaded.zones.len()),
        Err(diagnostics) => (diagnostics.clone(), 0),
    };
    if let Some(why) = loaded.as_ref().ok().and_then(|loaded| unable(&loaded.model)) {
        let at = Location::file(&dir.join("fleet.toml").to_string_lossy());
        diagnostics.push(Diagnostic::warning(at, why));
    }
    let diagnostics = &diagnostics;
    let valid = !diagnostics.has_errors();
    let effective = (options.effective && valid).then(|| config::effective(dir).1);
    match options.format {
        Format::Json => output.json(&Report {
            valid,
            diagnostics: diagnostics.sorted(),
            effective: effective.as_deref(),
        }),
        Format::Text => text(dir, diagnostics, effective.as_deref(), zones, output),
    }
    if valid { Exit::Fine } else { Exit::Usage }
}

/// What the monitors need and this process could not do if it were the node.
fn unable(model: &Model) -> Option<String> {
    let sends_icmp = model.fleet.monitors.iter().any(|m| matches!(m.check, Check::Icmp));
    icmp_refusal().filter(|_| model.node.probe.is_some() && sends_icmp)
}

fn text(
    dir: &std::path::Path,
    diagnostics: &Diagnostics,
    effective: Option<&[Effective]>,
    zones: usize,
    output: &mut Output,
) {
    output.diagnostics(diagnostics);
    for value in effective.unwrap_or_default() {
        let Effective { file, key, value, from } = value;
        output.line(format!("{file}: {key} = {value}  # {from}"));
    }
    if !diagnostics.has_errors() && effective.is_none() {
        let zones = super::output::count(zones, "zone");
        output.line(format!("{}: the configuration is valid, {zones}", dir.display()));
    }
}
