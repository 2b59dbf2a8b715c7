//! `meridian drill`: a failover on the live fleet, on purpose, watched and always taken back.

mod live;
mod poller;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;

use super::output::time;
use super::remote::{Failure, Node, Remote};
use super::{Exit, Format, Output};
use crate::admin::{DrillHistory, DrillPlan, DrillWish};
use crate::clock;
use crate::config;
use crate::diagnostic::{Diagnostic, Diagnostics, Location, count};
use crate::drill::{Finding, Outcome, Report, html, junit};
use crate::model::{Abort, Drill, Expect, How, Written};
use crate::name::Name;

/// Arguments of `drill`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    act: Act,
    #[command(flatten)]
    remote: Remote,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t, global = true)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Show whether a drill may run, and what it would look at
    #[command(after_help = "Examples:\n  meridian drill plan lose-eu.toml\n  \
                            meridian drill plan --region eu-central --for 5m")]
    Plan(What),
    /// Run a drill, watch every node, take it back, and report
    #[command(after_help = "Examples:\n  \
        meridian drill run lose-eu.toml --report lose-eu.html --report lose-eu.xml\n  \
        meridian drill run --region eu-central --for 1m --dns 192.0.2.1 --dns 192.0.2.2")]
    Run(RunOptions),
    /// Show the drills that were reported to this node
    #[command(after_help = "Examples:\n  meridian drill history\n  \
                            meridian drill history --format json")]
    History,
}

/// Which drill.
#[derive(Debug, Args)]
struct What {
    /// A drill file
    #[arg(required_unless_present = "region", conflicts_with_all = ["region", "service", "lasts"])]
    file: Option<PathBuf>,
    /// Without a file: the region that is to fail
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// The service to look at; may be repeated; without it those that the region answers
    #[arg(long, value_name = "NAME", requires = "region")]
    service: Vec<String>,
    /// For how long, such as 5m [default: 1m]
    #[arg(long = "for", value_name = "DURATION", requires = "region",
          value_parser = config::duration)]
    lasts: Option<Duration>,
    /// Where a node answers DNS; may be repeated; without it the drill file and then the name
    /// servers of the zones say it
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = place)]
    dns: Vec<SocketAddr>,
}

#[derive(Debug, Args)]
struct RunOptions {
    #[command(flatten)]
    what: What,
    /// Write the report here, in the form that its ending says: .html, .json, .txt, or
    /// .xml as test suites have it; may be repeated
    #[arg(long, value_name = "FILE", value_parser = report_file)]
    report: Vec<PathBuf>,
    /// Who runs it
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    author: Option<String>,
}

/// An address with or without the port of DNS.
fn place(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse().map(|address| SocketAddr::new(address, 53));
    address.or_else(|_| text.parse()).map_err(|_| "such as 192.0.2.1 or 192.0.2.1:53".to_owned())
}

/// The forms of reports, by the ending of their files.
const FORMS: [&str; 4] = ["html", "json", "xml", "txt"];

fn report_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let known = FORMS.contains(&ending);
    known
        .then_some(path)
        .ok_or_else(|| "expected a name that ends in .html, .json, .xml or .txt".to_owned())
}

/// How long a region fails when nothing is said.
const LASTS: Duration = Duration::from_secs(60);
/// What is expected of a drill without a file: what the defaults of monitors and TTLs allow.
const MOVED: Duration = Duration::from_secs(30);

pub(super) fn run(options: &Options, output: &mut Output) -> Exit {
    match &options.act {
        Act::Plan(what) => match prepare(what, options, output) {
            Ok(ready) => show(&ready, options.format, output),
            Err(exit) => exit,
        },
        Act::Run(own) => match prepare(&own.what, options, output) {
            Ok(ready) => drill(ready, own, options, output),
            Err(exit) => exit,
        },
        Act::History => history(options, output),
    }
}

/// A drill with what a node says of it.
struct Ready {
    drill: Drill,
    plan: DrillPlan,
    /// Where each node answers, by a name for people.
    nodes: Vec<(String, SocketAddr)>,
    node: Node,
}

/// Reads a drill and asks the node about it.
fn prepare(what: &What, options: &Options, output: &mut Output) -> Result<Ready, Exit> {
    let mut drill = match &what.file {
        Some(file) => config::drill(file, clock::unix_seconds()).map_err(|diagnostics| {
            output.diagnostics(&diagnostics);
            Exit::Usage
        })?,
        None => of_region(what).map_err(|error| {
            output.trouble(format!("error: {error}"));
            Exit::Usage
        })?,
    };
    if !what.dns.is_empty() {
        drill.nodes.clone_from(&what.dns);
    }
    consult(drill, options, output)
}

/// Asks the node about a drill.
fn consult(drill: Drill, options: &Options, output: &mut Output) -> Result<Ready, Exit> {
    let wish = DrillWish {
        name: drill.name.clone(),
        fail: values(&drill.fail),
        how: drill.how.as_str().to_owned(),
        services: drill.services.iter().map(|service| service.value.to_string()).collect(),
        guarded: values(&drill.abort.down),
        load_max: drill.expect.survivor_load.or(drill.abort.survivor_load),
    };
    let asked = options.remote.open().and_then(|node| {
        let plan: DrillPlan = node.ask(Method::POST, &["drills", "preflight"], Some(&wish))?;
        Ok((node, plan))
    });
    let (node, plan) = asked.map_err(|failure| output.failure(&failure, options.format))?;
    let named = drill.nodes.iter().map(|address| (address.to_string(), *address));
    let mut nodes: Vec<(String, SocketAddr)> = named.collect();
    if nodes.is_empty() {
        let servers = plan.nodes.iter().map(|node| (node.name.clone(), node.address));
        nodes.extend(servers);
    }
    Ok(Ready { drill, plan, nodes, node })
}

fn values(written: &[Written<String>]) -> Vec<String> {
    written.iter().map(|one| one.value.clone()).collect()
}

/// The drill of a region, without a file.
fn of_region(what: &What) -> Result<Drill, String> {
    let region = what.region.clone().unwrap_or_default();
    let expect = Expect {
        moved_within: Some(MOVED),
        no_errors: true,
        survivor_load: None,
        back_within: Some(MOVED),
    };
    let service = |text: &String| {
        let name = Name::parse(text, &Name::root());
        let value = name.map_err(|error| format!("`{text}` is not a name: {error}"))?;
        Ok::<_, String>(Written { value, at: None })
    };
    Ok(Drill {
        name: format!("lose {region}"),
        fail: vec![Written { value: format!("region:{region}"), at: None }],
        how: How::Health,
        lasts: what.lasts.unwrap_or(LASTS),
        services: what.service.iter().map(service).collect::<Result<_, _>>()?,
        starts: None,
        nodes: Vec::new(),
        clients: Vec::new(),
        every: Duration::from_millis(100),
        expect,
        abort: Abort::default(),
    })
}

/// What stands in the way of a drill, each where it is written.
fn refusals(ready: &Ready) -> Diagnostics {
    let place = |finding: &Finding| -> Option<Location> {
        let (list, rest) = finding.key.split_once('[')?;
        let at: usize = rest.strip_suffix(']')?.parse().ok()?;
        match list {
            "fail" => ready.drill.fail.get(at)?.at.clone(),
            "services" => ready.drill.services.get(at)?.at.clone(),
            "down" => ready.drill.abort.down.get(at)?.at.clone(),
            _ => None,
        }
    };
    let mut all = Diagnostics::default();
    for finding in &ready.plan.preflight.refusals {
        let at = place(finding).unwrap_or_else(|| Location::file("drill"));
        all.push(Diagnostic::error(at, finding.what.clone()).hint(finding.hint.clone()));
    }
    if ready.nodes.is_empty() {
        let what = "the addresses of the nodes are not known";
        let hint = "name them with `nodes` in the drill file or with --dns";
        all.push(Diagnostic::error(Location::file("drill"), what).hint(hint));
    }
    all
}

/// Says what stands in the way; `None`: nothing does.
fn refused(ready: &Ready, format: Format, output: &mut Output) -> Option<Exit> {
    let found = refusals(ready);
    if !found.has_errors() {
        return None;
    }
    output.diagnostics(&found);
    if format == Format::Json {
        output.json(&ready.plan);
    }
    // What is wrong in itself is wrong usage.
    let wrong = |finding: &Finding| finding.key.contains('[');
    let usage = ready.plan.preflight.refusals.iter().any(wrong);
    Some(if usage { Exit::Usage } else { Exit::Failed })
}

fn show(ready: &Ready, format: Format, output: &mut Output) -> Exit {
    if let Some(exit) = refused(ready, format, output) {
        return exit;
    }
    if format == Format::Json {
        output.json(&ready.plan);
        return Exit::Fine;
    }
    let Ready { drill, plan, nodes, .. } = ready;
    let lasts = time(drill.lasts.as_secs());
    let (fail, how) = (values(&drill.fail).join(", "), drill.how.as_str());
    output.line(format!("drill `{}` may run: {fail} fails by {how} for {lasts}", drill.name));
    output.line(format!("  services  {}", plan.services.join(", ")));
    let lost: Vec<String> = plan.preflight.lost.iter().map(ToString::to_string).collect();
    output.line(format!("  lost      {}", lost.join(", ")));
    for survivor in &plan.preflight.survivors {
        let load = survivor.load.map_or_else(
            || "load not known".to_owned(),
            |load| format!("{:.0} % of its capacity as load", load * 100.0),
        );
        let endpoints = count(survivor.endpoints, "endpoint");
        output.line(format!("  survivor  {}: {endpoints}, {load}", survivor.region));
    }
    for (name, address) in nodes {
        output.line(format!("  node      {name} at {address}"));
    }
    output.line(format!("  clients   {}", clients(ready).join(", ")));
    plan.preflight.notes.iter().for_each(|note| output.line(format!("  note      {note}")));
    Exit::Fine
}

/// The prefixes of clients that are asked for.
fn clients(ready: &Ready) -> Vec<String> {
    if ready.drill.clients.is_empty() {
        return ready.plan.clients.clone();
    }
    ready.drill.clients.iter().map(ToString::to_string).collect()
}

fn drill(ready: Ready, own: &RunOptions, options: &Options, output: &mut Output) -> Exit {
    if let Some(exit) = refused(&ready, options.format, output) {
        return exit;
    }
    let Some(starts) = ready.drill.starts else { return perform(&ready, own, options, output) };
    let waits = starts.saturating_sub(clock::unix_seconds());
    output.trouble(format!("waiting {} until {}", time(waits), clock::utc(starts)));
    std::thread::sleep(Duration::from_secs(waits));
    // The world may be another one by then.
    let again = match consult(ready.drill, options, output) {
        Ok(again) => again,
        Err(exit) => return exit,
    };
    match refused(&again, options.format, output) {
        Some(exit) => exit,
        None => perform(&again, own, options, output),
    }
}

fn perform(ready: &Ready, own: &RunOptions, options: &Options, output: &mut Output) -> Exit {
    let report = match live::perform(ready, own.author.as_deref(), &options.remote, output) {
        Ok(report) => report,
        Err(failure) => return output.failure(&failure, options.format),
    };
    if let Err(failure) = tell(ready, &report) {
        output.trouble(format!("warning: the node does not keep the report: {}", failure.what));
    }
    match options.format {
        Format::Json => output.json(&report),
        Format::Text => output.line(&report),
    }
    let mut exit = if report.outcome == Outcome::Passed { Exit::Fine } else { Exit::Failed };
    for path in &own.report {
        if let Err(error) = write(path, &report) {
            let (path, why) = (path.display(), crate::diagnostic::reason(&error));
            output.trouble(format!("error: `{path}` cannot be written: {why}"));
            exit = Exit::Failed;
        }
    }
    exit
}

/// Lets the node keep the report.
fn tell(ready: &Ready, report: &Report) -> Result<(), Failure> {
    let mut brief = report.clone();
    brief.timeline.slots.clear();
    let _: serde_json::Value = ready.node.ask(Method::POST, &["drills"], Some(&brief))?;
    Ok(())
}

fn write(path: &Path, report: &Report) -> std::io::Result<()> {
    let text = match path.extension().and_then(|ending| ending.to_str()) {
        Some("html") => html(report),
        Some("xml") => junit(report),
        Some("json") => serde_json::to_string_pretty(report)? + "\n",
        _ => format!("{report}\n"),
    };
    fs::write(path, text)
}

fn history(options: &Options, output: &mut Output) -> Exit {
    let asked = options.remote.open();
    let asked = asked.and_then(|node| node.ask(Method::GET, &["drills"], None::<&()>));
    let history: DrillHistory = match asked {
        Ok(history) => history,
        Err(failure) => return output.failure(&failure, options.format),
    };
    match options.format {
        Format::Json => output.json(&history),
        Format::Text if history.drills.is_empty() => output.line("no drill was reported"),
        Format::Text => {
            for report in &history.drills {
                let moved = report.moved_ms.map_or_else(
                    || "never moved".to_owned(),
                    |ms| format!("moved in {:.2} s", ms as f64 / 1_000.0),
                );
                let (begun, outcome) = (clock::utc(report.started), report.outcome.as_str());
                output.line(format!("{begun}  {}: {outcome}, {moved}", report.name));
            }
        }
    }
    Exit::Fine
}
