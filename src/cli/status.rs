//! `meridian status`: what a running node serves, on one screen.

use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;
use reqwest::Method;

use super::output::{Paint, count, time};
use super::remote::{Node, Remote};
use super::{Exit, Format, Output, force};
use crate::admin::{CertificateStatus, EndpointStatus, LoadStatus, Residual, Share, Status};
use crate::clock;
use crate::tls::day;

/// How often `--watch` looks again.
const EVERY: Duration = Duration::from_secs(2);
/// Endpoints shown; those that are not up come first.
const ENDPOINTS_MAX: usize = 40;

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    remote: Remote,
    /// Look again every two seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(options: &Options, output: &mut Output) -> Exit {
    let node = match options.remote.open() {
        Ok(node) => node,
        Err(failure) => return output.failure(&failure, options.format),
    };
    let terminal = io::stdout().is_terminal();
    loop {
        if options.watch && terminal && options.format == Format::Text {
            // To the top, and nothing below.
            output.part("\u{1b}[H\u{1b}[2J");
        }
        let exit = show(&node, options.format, output);
        if !options.watch {
            return exit;
        }
        std::thread::sleep(EVERY);
    }
}

fn show(node: &Node, format: Format, output: &mut Output) -> Exit {
    let status: Status = match node.ask(Method::GET, &["status"], None::<&()>) {
        Ok(status) => status,
        Err(failure) => return output.failure(&failure, format),
    };
    match format {
        Format::Json => output.json(&status),
        Format::Text => output.line(screen(&status, Paint::for_output()).join("\n")),
    }
    if status.ready { Exit::Fine } else { Exit::Failed }
}

/// The whole screen, line by line.
fn screen(status: &Status, paint: Paint) -> Vec<String> {
    let Status { node, region, version, generation, .. } = status;
    let ready = if status.ready { paint.good("ready") } else { paint.bad("not ready") };
    let mut lines =
        vec![format!("{node} in {region}, meridian {version}: {ready}, generation {generation}")];
    let digest = status.digest.get(..12).unwrap_or_default();
    lines.push(match status.plan {
        Some(plan) => format!("  plan ({}, {}), digest {digest}", plan.epoch, plan.version),
        None => format!("  configuration without a plan number, digest {digest}"),
    });
    lines.extend(status.notes.iter().map(|note| format!("  {note}")));
    let title = |title: &str| [String::new(), title.to_owned()];
    lines.extend(title("regions"));
    let place = |place: &str, words: &Share| format!("  {place:<24} {}", share(words, paint));
    let regions = status.regions.iter().map(|region| &region.share);
    lines.extend(regions.map(|share| place(&share.region, share)));
    lines.extend(title("pools"));
    lines.extend(status.pools.iter().map(|pool| {
        let line = place(&format!("{} {}", pool.pool, pool.share.region), &pool.share);
        pool.load.as_ref().map_or(line.clone(), |load| format!("{line}, {}", words(load)))
    }));
    lines.extend(title("endpoints"));
    lines.extend(endpoints(status, paint));
    if !status.overrides.is_empty() {
        lines.extend(title("overrides"));
        lines.extend(status.overrides.iter().map(|one| format!("  {}", force::line(one))));
    }
    if !status.certificates.is_empty() {
        lines.extend(title("certificates"));
        lines.extend(status.certificates.iter().map(|one| certificate(one, paint)));
    }
    lines.extend(title(&format!("{} served", count(status.zones.len(), "zone"))));
    let troubled = status.zones.iter().filter(|zone| zone.state != "ok");
    lines.extend(troubled.map(|zone| format!("  {} {}", zone.zone, paint.bad(&zone.state))));
    lines
}

/// A certificate that the proxy orders, on one line.
fn certificate(one: &CertificateStatus, paint: Paint) -> String {
    let CertificateStatus { names, challenge, ends, next, failures, error, .. } = one;
    let more = names.len().saturating_sub(1);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let name = names.first().map_or("", String::as_str);
    let there = match ends {
        Some(ends) => paint.good(&format!("until {}", day(*ends))),
        None => paint.odd("none yet"),
    };
    let next = if *next <= clock::unix_seconds() {
        "ordered now".to_owned()
    } else {
        format!("ordered next after {}", clock::utc(*next))
    };
    let trouble = match (failures, error) {
        (0, _) => String::new(),
        (_, None) => paint.bad(&format!("; {} failed", count(*failures as usize, "order"))),
        (_, Some(error)) => {
            paint.bad(&format!("; {} failed: {error}", count(*failures as usize, "order")))
        }
    };
    format!("  {name}{more} ({challenge}) {there}, {next}{trouble}")
}

fn share(share: &Share, paint: Paint) -> String {
    let Share { up, unknown, endpoints, .. } = share;
    let words = match unknown {
        0 => format!("{up} of {} up", count(*endpoints, "endpoint")),
        _ => format!("{up} of {} up, {unknown} not judged yet", count(*endpoints, "endpoint")),
    };
    match up {
        _ if up == endpoints => paint.good(&words),
        0 if *unknown == 0 => paint.bad(&words),
        _ => paint.odd(&words),
    }
}

/// The load of a pool in a region.
fn words(load: &LoadStatus) -> String {
    let LoadStatus { requests, capacity, errors, in_flight, queue, .. } = load;
    let of = capacity.map_or_else(String::new, |capacity| format!(" of {capacity:.0}"));
    let Some(requests) = requests else {
        return format!("load unknown{of}");
    };
    let waiting = if *queue > 0 { format!(", {queue} waiting") } else { String::new() };
    let failing = if *errors >= 0.05 { format!(", {errors:.1} errors/s") } else { String::new() };
    format!("{requests:.1}{of} requests/s, {in_flight} in flight{waiting}{failing}")
}

fn endpoints(status: &Status, paint: Paint) -> Vec<String> {
    let mut all: Vec<&EndpointStatus> = status.endpoints.iter().collect();
    all.sort_by_key(|endpoint| endpoint.health == "up");
    let line = |endpoint: &&EndpointStatus| {
        let EndpointStatus {
            pool,
            region,
            endpoint: address,
            health,
            cause,
            age_seconds,
            votes: _,
            residual,
        } = *endpoint;
        let word = match health.as_str() {
            "up" => paint.good(health),
            "down" => paint.bad(health),
            _ => paint.odd(health),
        };
        let place = format!("{pool} {region} {address}");
        let left = residual.map_or_else(String::new, |Residual { in_flight, requests }| {
            let under_way = count(in_flight as usize, "request");
            format!("; {under_way} under way, {requests} came while drained")
        });
        format!("  {place:<40} {word} for {}: {cause}{left}", time(*age_seconds))
    };
    let mut lines: Vec<String> = all.iter().take(ENDPOINTS_MAX).map(line).collect();
    if let Some(more @ 1..) = all.len().checked_sub(ENDPOINTS_MAX) {
        lines.push(format!("  and {more} more"));
    }
    lines
}
