//! `meridian check`: all mistakes and warnings, without touching a running node.

mod diff;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use self::diff::{Asking, Difference, difference};

use super::{Config, Exit, Format, Output};
use crate::clock;
use crate::config::{self, Effective};
use crate::diagnostic::{Diagnostic, Diagnostics, Location, count};
use crate::model::{Check, Model};
use crate::probe::icmp_refusal;
use crate::snapshot::{Loaded, load};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    config: Config,
    /// Print every value in force and where it comes from
    #[arg(long)]
    effective: bool,
    /// Show which clients get other answers from the configuration in this folder, before it is
    /// deployed: by country and by share of the population, the worst moves first
    #[arg(long, value_name = "DIR2")]
    diff: Option<PathBuf>,
    /// With --diff: who the clients are, a CSV file of prefix and, optional, country, lat, lon and
    /// weight; without it a sample of the world's
    #[arg(long, value_name = "FILE", requires = "diff")]
    population: Option<PathBuf>,
    /// With --diff: number of clients of each service
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000, requires = "diff",
          value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    clients: u64,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<&'a Difference>,
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
    let difference = compare(loaded.ok(), options, &mut diagnostics);
    let diagnostics = &diagnostics;
    let valid = !diagnostics.has_errors();
    let effective = (options.effective && valid).then(|| config::effective(dir).1);
    let difference = difference.filter(|_| valid);
    match options.format {
        Format::Json => output.json(&Report {
            valid,
            diagnostics: diagnostics.sorted(),
            effective: effective.as_deref(),
            diff: difference.as_ref(),
        }),
        Format::Text => {
            text(dir, diagnostics, effective.as_deref(), zones, output);
            if let (Some(difference), Some(other)) = (&difference, &options.diff) {
                output.line(format!("from {} to {}: {difference}", dir.display(), other.display()));
            }
        }
    }
    if valid { Exit::Fine } else { Exit::Usage }
}

/// Who gets other answers from the other folder, whose findings are added; `None`: nobody asked,
/// or there are mistakes.
fn compare(
    loaded: Option<Loaded>,
    options: &Options,
    diagnostics: &mut Diagnostics,
) -> Option<Difference> {
    let other = match load(options.diff.as_deref()?, None) {
        Ok(other) => other,
        Err(found) => {
            diagnostics.extend(found);
            return None;
        }
    };
    diagnostics.extend(other.diagnostics.clone());
    let loaded = loaded.filter(|_| !diagnostics.has_errors())?;
    let Options { population, clients, .. } = options;
    let asking = Asking { population: population.as_deref(), clients: *clients };
    match difference(loaded, other, &asking, clock::now()) {
        Ok(difference) => Some(difference),
        Err(found) => {
            diagnostics.extend(found);
            None
        }
    }
}

/// What the monitors need and this process could not do if it were the node.
fn unable(model: &Model) -> Option<String> {
    let sends_icmp = model.fleet.monitors.iter().any(|m| matches!(m.check, Check::Icmp));
    icmp_refusal().filter(|_| model.node.probe.is_some() && sends_icmp)
}

fn text(
    dir: &Path,
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
        let zones = count(zones, "zone");
        output.line(format!("{}: the configuration is valid, {zones}", dir.display()));
    }
}
