//! `meridian check`: all mistakes and warnings, without touching a running node.

use clap::Args;
use serde::Serialize;

use super::{Config, Exit, Format, Output};
use crate::config::{self, Effective};
use crate::diagnostic::{Diagnostic, Diagnostics};
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
    let (diagnostics, zones) = match &loaded {
        Ok(loaded) => (&loaded.diagnostics, loaded.zones.len()),
        Err(diagnostics) => (diagnostics, 0),
    };
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
