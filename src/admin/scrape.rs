//! Everything this process measures, in Prometheus text form.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::proto::MetricFamily;
use prometheus::{Encoder, TextEncoder};

use super::Admin;
use super::families::{counters, gauges};
use super::load;
use super::readiness::state_word;
use super::votes::votes;
use crate::clock;
use crate::dns::engine::rcode;
use crate::dns::{Connections, Counters, LogTotals, QueryLog, Totals, Transport};
use crate::health::{Action, Level};
use crate::snapshot::{Snapshot, State};

/// Renders all metrics.
///
/// # Errors
/// When the encoder refuses a family, which its tests would have shown.
pub fn scrape(admin: &Admin) -> Result<String, prometheus::Error> {
    let mut families = admin.metrics.gather();
    let snapshot = admin.snapshot.load();
    if let Some(counters) = &admin.counters {
        families.extend(dns(counters)?);
        families.extend(query_log(counters)?);
    }
    families.extend(zones(&snapshot)?);
    if let Some(state) = &snapshot.state {
        families.extend(health(state)?);
        families.extend(votes(state)?);
        families.extend(overrides(state)?);
        families.extend(plan(state)?);
        families.extend(geo(state)?);
        families.extend(load::families(state)?);
    }
    // The encoder refuses families without samples, such as replies before the first query.
    families.retain(|family| !family.get_metric().is_empty());
    families.sort_by(|a, b| a.name().cmp(b.name()));
    let mut text = Vec::new();
    TextEncoder::new().encode(&families, &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Queries and replies, summed over the workers.
fn dns(workers: &Counters) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let totals: Totals = workers.totals();
    let one = |value: u64| [(Vec::new(), value)];
    let mut families = Vec::new();
    let queries = totals.queries.iter().map(|(t, n)| (vec![t.name().to_owned()], *n));
    let replies = totals.replies.iter().map(|(rcode, n)| (vec![rcode::mnemonic(*rcode)], *n));
    let named = |samples: &[(String, u64)]| -> Vec<(Vec<String>, u64)> {
        samples.iter().map(|(name, n)| (vec![name.clone()], *n)).collect()
    };
    let lost = [
        ("receive", totals.receive_errors),
        ("send", totals.send_errors),
        ("accept", totals.connections.iter().map(|(_, c)| c.accept_errors).sum()),
        ("panic", totals.panics),
    ];
    let matches = [("located", totals.located), ("unlocated", totals.unlocated)];
    let labelled = |(word, n): (&str, u64)| (vec![word.to_owned()], n);
    for (name, help, labels, samples) in [
        ("meridian_dns_queries_total", "Queries received.", &["transport"][..], queries.collect()),
        ("meridian_dns_replies_total", "Replies by response code.", &["rcode"], replies.collect()),
        (
            "meridian_service_answers_total",
            "Answers by steered name.",
            &["service"],
            named(&totals.services),
        ),
        (
            "meridian_service_all_down_answers_total",
            "Answers by steered name while everything behind it was down.",
            &["service"],
            named(&totals.all_down),
        ),
        (
            "meridian_service_explored_answers_total",
            "Answers by steered name that went to the runner-up, to learn how far it is.",
            &["service"],
            named(&totals.explored),
        ),
        (
            "meridian_region_answers_total",
            "Steered answers by region of the first address.",
            &["region"],
            named(&totals.regions),
        ),
        (
            "meridian_geo_lookups_total",
            "Queries to services that ask the geo databases, by whether they located the client.",
            &["result"],
            matches.map(labelled).into(),
        ),
        ("meridian_dns_dropped_total", "Queries left unanswered.", &[], one(totals.dropped).into()),
        ("meridian_dns_malformed_total", "Malformed queries.", &[], one(totals.malformed).into()),
        ("meridian_dns_truncated_total", "Replies cut to fit.", &[], one(totals.truncated).into()),
        (
            "meridian_dns_errors_total",
            "Failures of sockets and workers.",
            &["kind"],
            lost.map(labelled).into(),
        ),
    ] {
        families.extend(counters(name, help, labels, samples)?);
    }
    families.extend(transfers(workers)?);
    families.extend(guards(&totals)?);
    families.extend(connections(&totals)?);
    Ok(families)
}

/// Connections by transport, and how they ended.
fn connections(totals: &Totals) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let by_transport = |reason: &str, read: fn(&Connections) -> u64| {
        let labels = |transport: Transport| vec![transport.name().to_owned(), reason.to_owned()];
        totals.connections.iter().map(|(t, c)| (labels(*t), read(c))).collect::<Vec<_>>()
    };
    let closed = [
        by_transport("evicted", |connections| connections.evicted),
        by_transport("timed_out", |connections| connections.timed_out),
        by_transport("handshake", |connections| connections.failed_handshakes),
        by_transport("proxy_header", |connections| connections.refused_headers),
    ];
    let mut families = counters(
        "meridian_dns_connections_closed_total",
        "Connections closed before their client did.",
        &["transport", "reason"],
        closed.concat(),
    )?;
    let refused = totals.connections.iter().filter(|(t, _)| t.is_http());
    let refused = refused.map(|(t, c)| (vec![t.name().to_owned()], c.refused_requests));
    families.extend(counters(
        "meridian_dns_http_refused_total",
        "HTTP requests answered with an error status.",
        &["transport"],
        refused,
    )?);
    let open = totals.connections.iter().map(|(t, c)| (vec![t.name().to_owned()], c.open as f64));
    families.extend(gauges(
        "meridian_dns_connections",
        "Connections open now.",
        &["transport"],
        open,
    )?);
    Ok(families)
}

/// Zone transfers to secondaries.
fn transfers(workers: &Counters) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let counts = &workers.transfers;
    let labelled =
        |(word, n): (&str, &AtomicU64)| (vec![word.to_owned()], n.load(Ordering::Relaxed));
    let sent = [("axfr", &counts.axfr), ("ixfr", &counts.ixfr), ("failed", &counts.failed)];
    let told = [("heard", &counts.notified), ("unheard", &counts.unheard)];
    let mut families = counters(
        "meridian_transfers_total",
        "Zone transfers to secondaries: whole zones, changes, and those that were cut off.",
        &["kind"],
        sent.map(labelled),
    )?;
    families.extend(counters(
        "meridian_notifies_total",
        "Secondaries told of a change, by whether they replied.",
        &["result"],
        told.map(labelled),
    )?);
    Ok(families)
}

/// What keeps forged senders from using this server against others.
fn guards(totals: &Totals) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let limited = totals
        .limited
        .iter()
        .map(|(kind, limited, n)| (vec![kind.name().to_owned(), limited.name().to_owned()], *n));
    let mut families = counters(
        "meridian_dns_limited_total",
        "Answers above the rate of their client's prefix, by kind and what became of them.",
        &["kind", "action"],
        limited,
    )?;
    families.extend(counters(
        "meridian_dns_limiter_evictions_total",
        "Client prefixes that the full rate limiter forgot for others.",
        &[],
        [(Vec::new(), totals.evicted)],
    )?);
    families.extend(counters(
        "meridian_dns_cookies_total",
        "Queries with a DNS cookie, by what it was worth.",
        &["cookie"],
        totals.cookies.iter().map(|(standing, n)| (vec![standing.name().to_owned()], *n)),
    )?);
    Ok(families)
}

/// Entries of the query log; zero without one.
fn query_log(workers: &Counters) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let log = workers.log.as_ref().map(QueryLog::totals);
    let count = |read: fn(&LogTotals) -> &AtomicU64| {
        log.map_or(0, |totals| read(totals).load(Ordering::Relaxed))
    };
    let results = [("written", count(|log| &log.written)), ("dropped", count(|log| &log.dropped))];
    counters(
        "meridian_dns_query_log_entries_total",
        "Sampled queries by what became of their entry in the query log.",
        &["result"],
        results.map(|(word, n)| (vec![word.to_owned()], n)),
    )
}

/// Whether each zone serves, serves old data, or fails.
fn zones(snapshot: &Snapshot) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let states = snapshot.zones.iter().flat_map(|(apex, entry)| {
        let state = state_word(snapshot, apex, entry);
        ["ok", "stale", "failed", "expired"].map(|word| {
            (vec![apex.to_string(), word.to_owned()], f64::from(u8::from(word == state)))
        })
    });
    gauges(
        "meridian_zone_state",
        "1 for the state a zone is in: ok, stale (last good data), failed or expired (SERVFAIL).",
        &["zone", "state"],
        states,
    )
}

/// Health of each endpoint as this node holds it.
fn health(state: &State) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let model = &state.loaded.model;
    let fleet = &model.fleet;
    let vantage = &fleet.region(model.node.region).name;
    let names = |endpoint: &crate::model::Endpoint| {
        vec![
            fleet.pool(endpoint.pool).name.clone(),
            fleet.region(endpoint.region).name.clone(),
            endpoint.address.to_string(),
        ]
    };
    let endpoints = || fleet.endpoints.iter().zip(&state.health);
    let levels = endpoints().map(|(endpoint, health)| {
        let value = match health.level {
            Level::Up => 1.0,
            Level::Unknown => 0.5,
            Level::Drained => 0.25,
            Level::Down => 0.0,
        };
        let kind = health.kind.map_or("", |kind| kind.as_str());
        let labels = [names(endpoint), vec![vantage.clone(), kind.to_owned()]].concat();
        (labels, value)
    });
    let now = clock::now();
    let ages = endpoints().map(|(e, health)| (names(e), now.since(health.since).as_secs_f64()));
    let labels = ["pool", "region", "endpoint"];
    let mut families = gauges(
        "meridian_endpoint_up",
        "1 up, 0.5 not judged yet, 0.25 drained, 0 down, with the sort of failure as cause.",
        &["pool", "region", "endpoint", "vantage", "cause"],
        levels,
    )?;
    families.extend(gauges(
        "meridian_endpoint_state_seconds",
        "Time since the endpoint's health last changed.",
        &labels,
        ages,
    )?);
    Ok(families)
}

/// Overrides in force.
fn overrides(state: &State) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let count = |action: Action| {
        let of_action = state.overrides.overrides().filter(|one| one.action == action).count();
        (vec![action.as_str().to_owned()], of_action as f64)
    };
    gauges(
        "meridian_overrides",
        "Operator overrides in force, by what they do.",
        &["action"],
        [Action::Up, Action::Down, Action::Drain].map(count),
    )
}

/// Which configuration is served.
fn plan(state: &State) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let number = state.loaded.model.fleet.plan.map(|mark| mark.number).unwrap_or_default();
    let parts = [("epoch", number.epoch), ("version", number.version)];
    let mut families = gauges(
        "meridian_plan_number",
        "Epoch and version of the plan that is served; zero without [plan].",
        &["part"],
        parts.map(|(part, number)| (vec![part.to_owned()], f64::from(number))),
    )?;
    families.extend(gauges(
        "meridian_config_digest",
        "The first 48 bits of the digest of what all nodes share.",
        &[],
        [(Vec::new(), state.loaded.fingerprint.short() as f64)],
    )?);
    Ok(families)
}

/// Age of the geo databases.
fn geo(state: &State) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let now = clock::unix_seconds();
    let ages = state
        .loaded
        .databases
        .all()
        .iter()
        .map(|database| (vec![database.file().to_owned()], database.age(now).as_secs_f64()));
    gauges(
        "meridian_geo_database_age_seconds",
        "Time since the geo database was built.",
        &["file"],
        ages,
    )
}
