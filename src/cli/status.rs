//! `meridian status`: what a running node serves, on one screen.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;
use reqwest::Method;

use super::output::{Paint, time};
use super::remote::{Node, Remote};
use super::{Exit, Format, Output, force};
use crate::admin::{
    CertificateStatus, EndpointStatus, LoadStatus, OverrideStatus, PeerStatus, PoolStatus,
    Residual, Share, Status,
};
use crate::clock;
use crate::diagnostic::count;
use crate::tls::day;

/// How often `--watch` looks again.
const EVERY: Duration = Duration::from_secs(2);
/// Endpoints shown; those that are not up come first.
const ENDPOINTS_MAX: usize = 40;
/// Pools by region shown; those that are not wholly up come first.
const POOLS_MAX: usize = 20;
/// Peers shown; those that are not as they should be come first.
const PEERS_MAX: usize = 12;

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
    let mut pools: Vec<&PoolStatus> = status.pools.iter().collect();
    pools.sort_by_key(|pool| pool.share.up == pool.share.endpoints);
    lines.extend(pools.iter().take(POOLS_MAX).map(|pool| {
        let line = place(&format!("{} {}", pool.pool, pool.share.region), &pool.share);
        pool.load.as_ref().map_or(line.clone(), |load| format!("{line}, {}", words(load)))
    }));
    lines.extend(left_out(pools.len(), POOLS_MAX));
    lines.extend(title("endpoints"));
    lines.extend(endpoints(status, paint));
    lines.extend(title("peers"));
    lines.extend(peers(status, paint));
    let drills = drills(&status.overrides);
    if !drills.is_empty() {
        lines.extend(title("drills"));
        lines.extend(drills);
    }
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

/// The other nodes, a line each; in trouble is who is silent or serves something else.
fn peers(status: &Status, paint: Paint) -> Vec<String> {
    let Status { peers, mode, version: own, .. } = status;
    if mode == "alone" {
        return vec!["  none, this node is alone".to_owned()];
    }
    let mut all: Vec<&PeerStatus> = peers.iter().collect();
    let is_well = |peer: &PeerStatus| peer.standing == "live" && !peer.drifted;
    all.sort_by_key(|peer| is_well(peer));
    let live = all.iter().filter(|peer| peer.standing == "live").count();
    let seen = match mode.as_str() {
        "live" => paint.good(mode),
        "isolated" => paint.bad(mode),
        _ => paint.odd(mode),
    };
    let mut lines = vec![format!("  {seen}, {live} of {} heard", count(all.len(), "peer"))];
    let line = |peer: &&PeerStatus| {
        let PeerStatus { node, region, standing, heard_seconds, roles, version, digest, drifted } =
            *peer;
        let heard = match standing.as_str() {
            "live" => paint.good(standing),
            "late" => paint.odd(&format!("late, silent for {}", time(*heard_seconds))),
            _ => paint.bad(&format!("{standing}, silent for {}", time(*heard_seconds))),
        };
        let serves = match digest {
            None => paint.odd("serves nothing yet"),
            Some(digest) if *drifted => {
                paint.odd(&format!("another configuration, digest {digest}"))
            }
            Some(digest) => format!("digest {digest}"),
        };
        let program = if version == own { String::new() } else { format!(", meridian {version}") };
        let place = format!("{node} in {region}");
        format!("  {place:<24} {heard}, {serves}, {}{program}", roles.join(" "))
    };
    lines.extend(all.iter().take(PEERS_MAX).map(line));
    lines.extend(left_out(all.len(), PEERS_MAX));
    lines
}

/// How many of a list are not shown, if any.
fn left_out(all: usize, shown: usize) -> Option<String> {
    all.checked_sub(shown).filter(|more| *more > 0).map(|more| format!("  and {more} more"))
}

/// The drills under way, by their overrides: what each takes out, and for how long.
fn drills(overrides: &[OverrideStatus]) -> Vec<String> {
    let mut drills: BTreeMap<&str, Vec<&OverrideStatus>> = BTreeMap::new();
    for one in overrides {
        if let Some(drill) = &one.what.drill {
            drills.entry(drill).or_default().push(one);
        }
    }
    let line = |(drill, parts): (&str, Vec<&OverrideStatus>)| {
        let targets: Vec<String> = parts.iter().map(|one| one.what.target.to_string()).collect();
        let left = parts.iter().filter_map(|one| one.left_seconds).max().unwrap_or_default();
        let author = parts.first().map_or("", |one| one.what.author.as_str());
        format!("  {drill}: {}, {} left, by {author}", targets.join(", "), time(left))
    };
    drills.into_iter().map(line).collect()
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
    lines.extend(left_out(all.len(), ENDPOINTS_MAX));
    lines
}
