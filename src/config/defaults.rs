//! The default of every key that has one, and the range of every number.

pub(super) mod acme;
pub(super) mod drill;
mod hedge;
mod latency;
mod load;
mod safety;
pub(super) mod telemetry;
pub(super) mod webhook;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use hickory_proto::rr::RecordType;
use http::StatusCode;

use crate::model::{
    AllDown, Balance, ClientCertificate, CookiePolicy, DnsTransport, Failback, Family, Flattened,
    HttpVersion, Io, LogFormat, QueryLogFormat, Scheme, Stale, Vantage,
};

pub(super) use hedge::{HEDGE_AFTER, HEDGE_AFTER_RANGE, HEDGE_BUDGET};
pub(super) use latency::*;
pub(super) use load::*;
pub(super) use safety::*;

/// A default.
pub(super) struct Preset<T> {
    /// What it means.
    pub value: T,
    /// How it would be written in the file.
    pub written: &'static str,
}

const fn preset<T>(value: T, written: &'static str) -> Preset<T> {
    Preset { value, written }
}

const fn seconds(seconds: u64, written: &'static str) -> Preset<Duration> {
    preset(Duration::from_secs(seconds), written)
}

const fn span(least_ms: u64, most_seconds: u64) -> RangeInclusive<Duration> {
    Duration::from_millis(least_ms)..=Duration::from_secs(most_seconds)
}

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// `node.state`: beside the configuration, which may be read-only.
pub(super) const STATE: Preset<&str> = preset("../state", "\"../state\"");
/// `node.resolvers`: none, which means those of the operating system.
pub(super) const RESOLVERS: &str = "[] (those of the operating system)";
/// `zones.directory`
pub(super) const ZONES: Preset<&str> = preset("../zones", "\"../zones\"");
/// `geo.databases`: none, which means the embedded country database.
pub(super) const DATABASES: &str = "[] (the embedded country database)";
/// `geo.max_age`: registries move about one prefix in a hundred a month.
pub(super) const MAX_AGE: Preset<Duration> = seconds(45 * DAY, "\"45d\"");
/// Range of `geo.max_age`.
pub(super) const MAX_AGE_RANGE: RangeInclusive<Duration> = span(DAY * 1_000, 3_650 * DAY);
/// `dns.listen`: every address of the machine.
pub(super) const DNS_LISTEN: Preset<[SocketAddr; 2]> = preset(
    [
        SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 53),
        SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 53),
    ],
    "[\"0.0.0.0:53\", \"[::]:53\"]",
);
/// `dns.workers`: 0 is one per core.
pub(super) const WORKERS: Preset<usize> = preset(0, "0");
/// Range of `dns.workers`: beyond the cores of any machine.
pub(super) const WORKERS_RANGE: RangeInclusive<u16> = 0..=1_024;
/// `dns.io`: the fewest system calls that every Linux has.
pub(super) const IO: Preset<Io> = preset(Io::Mmsg, "\"mmsg\"");
/// `dns.udp_payload`: passes unfragmented wherever IPv6 does (RFC 9715 section 3.1).
pub(super) const UDP_PAYLOAD: Preset<u16> = preset(1_232, "1232");
/// Range of `dns.udp_payload`: from what needs no EDNS (RFC 1035 section 4.2.1) to RFC 6891's
/// advice (section 6.2.5).
pub(super) const UDP_PAYLOAD_RANGE: RangeInclusive<u16> = 512..=4_096;
/// `dns.nsid`
pub(super) const NSID: &str = "(node.name)";
/// Longest `dns.nsid`, in octets: that of a TXT string, as CHAOS gives it too.
pub(super) const NSID_MAX: usize = 255;
/// `dns.chaos`: what a server runs is nobody's business.
pub(super) const CHAOS: Preset<bool> = preset(false, "false");
/// `dns.cookies.policy`
pub(super) const COOKIES: Preset<CookiePolicy> = preset(CookiePolicy::On, "\"on\"");
/// `dns.cookies.secret_file`: none, and then every start makes a secret.
pub(super) const COOKIE_SECRET: &str = "(random, made at the start)";
/// `dns.limits.response_rate.positive`: in a failover all clients of a public resolver ask at once.
pub(super) const POSITIVE_RATE: Preset<Option<NonZeroU32>> = preset(None, "\"off\"");
/// `dns.limits.response_rate.negative`
pub(super) const NEGATIVE_RATE: Preset<Option<NonZeroU32>> =
    preset(NonZeroU32::new(200), "\"200/s\"");
/// `dns.limits.response_rate.error`: nobody needs as many errors as that.
pub(super) const ERROR_RATE: Preset<Option<NonZeroU32>> = preset(NonZeroU32::new(100), "\"100/s\"");
/// Range of the rates of `dns.limits.response_rate`: up to where they cannot bite.
pub(super) const RATE_RANGE: RangeInclusive<u32> = 1..=1_000_000_000;
/// `dns.limits.slip`: the truncated half is no longer than the queries, so a forged flood leaves
/// as less than half of what came.
pub(super) const SLIP: Preset<u8> = preset(2, "2");
/// Range of `dns.limits.slip`: with more than ten a client in need hardly gets through.
pub(super) const SLIP_RANGE: RangeInclusive<u8> = 0..=10;
/// `dns.limits.exempt`
pub(super) const EXEMPT: &str = "[]";
/// `dns.limits.dry_run`
pub(super) const DRY_RUN: Preset<bool> = preset(false, "false");
/// `dns.limits.tcp_clients`
pub(super) const TCP_CLIENTS: Preset<usize> = preset(2_000, "2000");
/// Range of `dns.limits.tcp_clients`: up to a million file descriptors.
pub(super) const TCP_CLIENTS_RANGE: RangeInclusive<u32> = 1..=1_000_000;
/// `dns.limits.tcp_idle`: RFC 7766 section 6.2.3 asks for a few seconds.
pub(super) const TCP_IDLE: Preset<Duration> = seconds(10, "\"10s\"");
/// Range of `dns.limits.tcp_idle`
pub(super) const TCP_IDLE_RANGE: RangeInclusive<Duration> = span(100, HOUR);
/// `dns.client_subnet.policy`
pub(super) const CLIENT_SUBNET: &str = "\"on\"";
/// `dns.query_log.sample`: enough to see what is asked, too little to fill a disk.
pub(super) const SAMPLE: Preset<f64> = preset(0.001, "0.001");
/// `dns.query_log.format`
pub(super) const QUERY_LOG_FORMAT: Preset<QueryLogFormat> =
    preset(QueryLogFormat::Json, "\"json\"");
/// `probe.max_in_flight`: well below the usual 1024 file descriptors.
pub(super) const MAX_IN_FLIGHT: Preset<usize> = preset(512, "512");
/// Range of `probe.max_in_flight`: ports of one source address.
pub(super) const MAX_IN_FLIGHT_RANGE: RangeInclusive<u32> = 1..=60_000;
/// `probe.rate`: many times what a fleet of hundreds needs, and no flood.
pub(super) const PROBE_RATE: Preset<Option<NonZeroU32>> =
    preset(NonZeroU32::new(1_000), "\"1000/s\"");
/// Range of `probe.rate`
pub(super) const PROBE_RATE_RANGE: RangeInclusive<u32> = 1..=1_000_000;
/// `probe.allow_private`
pub(super) const ALLOW_PRIVATE: Preset<bool> = preset(true, "true");
/// `probe.deny`: where clouds hand out credentials.
pub(super) const DENY: Preset<&str> = preset("169.254.169.254/32", "[\"169.254.169.254/32\"]");
/// `proxy.http`: every address of the machine.
pub(super) const PROXY_HTTP: Preset<[SocketAddr; 2]> = preset(
    [
        SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80),
        SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 80),
    ],
    "[\"0.0.0.0:80\", \"[::]:80\"]",
);
/// `proxy.tcp[].port` and `proxy.udp[].port`
pub(super) const RELAY_PORT: &str = "(port of listen)";
/// `proxy.tcp[].sni[].port`
pub(super) const SNI_PORT: &str = "(port of the item)";
/// `proxy.tcp[].balance`: connections last long and differ much.
pub(super) const TCP_BALANCE: Preset<Balance> =
    preset(Balance::LeastConnections, "\"least-connections\"");
/// `proxy.tcp[].idle`: sessions of databases wait long between two questions.
pub(super) const TCP_IDLE_RELAYED: Preset<Duration> = seconds(HOUR, "\"1h\"");
/// `proxy.udp[].idle`: what most address translators on the way keep.
pub(super) const UDP_IDLE: Preset<Duration> = seconds(30, "\"30s\"");
/// `proxy.udp[].flows`: each takes a file descriptor and a port.
pub(super) const FLOWS: Preset<usize> = preset(65_536, "65536");
/// Range of `proxy.udp[].flows`
pub(super) const FLOWS_RANGE: RangeInclusive<u32> = 1..=1_000_000;
/// `proxy.drain`: as long as supervisors wait.
pub(super) const DRAIN: Preset<Duration> = seconds(30, "\"30s\"");
/// Range of `proxy.drain`
pub(super) const DRAIN_RANGE: RangeInclusive<Duration> = span(0, HOUR);
/// `proxy.limits.connections`: with its memory well below a gigabyte.
pub(super) const CONNECTIONS: Preset<usize> = preset(20_000, "20000");
/// `proxy.limits.per_client`: a large office behind one address.
pub(super) const PER_CLIENT: Preset<usize> = preset(1_000, "1000");
/// Range of both: up to a million file descriptors.
pub(super) const CONNECTIONS_RANGE: RangeInclusive<u32> = 1..=1_000_000;
/// `proxy.limits.headers`: as many as the parser keeps without asking for memory.
pub(super) const HEADERS: Preset<usize> = preset(100, "100");
/// Range of `proxy.limits.headers`
pub(super) const HEADERS_RANGE: RangeInclusive<u32> = 10..=1_000;
/// `proxy.limits.header_timeout`: what a slow phone needs, many times over.
pub(super) const HEADER_TIMEOUT: Preset<Duration> = seconds(10, "\"10s\"");
/// `proxy.limits.idle`: longer than browsers and balancers before us keep a connection.
pub(super) const PROXY_IDLE: Preset<Duration> = seconds(75, "\"75s\"");
/// Range of the times of `[proxy]` and of routes.
pub(super) const PROXY_TIME_RANGE: RangeInclusive<Duration> = span(10, DAY);
/// `proxy.limits.header_size`
pub(super) const HEADER_SIZE: Preset<u64> = preset(32 << 10, "\"32KiB\"");
/// `proxy.limits.target`: RFC 9110 section 4.1 asks for 8000 octets at least.
pub(super) const TARGET_SIZE: Preset<u64> = preset(8 << 10, "\"8KiB\"");
/// Range of both.
pub(super) const HEAD_RANGE: RangeInclusive<u64> = 1 << 10..=1 << 20;
/// `proxy.limits.body`: bodies are passed on as they come and cost no memory.
pub(super) const BODY_SIZE: Preset<Option<u64>> = preset(None, "\"off\"");
/// Range of `proxy.limits.body`
pub(super) const BODY_RANGE: RangeInclusive<u64> = 1..=1 << 50;
/// `proxy.access_log.sample`: enough to see what is asked, too little to fill a disk.
pub(super) const ACCESS_SAMPLE: Preset<f64> = preset(0.01, "0.01");
/// `proxy.access_log.errors`: they are few, and what one looks for.
pub(super) const ACCESS_ERRORS: Preset<bool> = preset(true, "true");
/// `proxy.access_log.stderr`
pub(super) const ACCESS_STDERR: Preset<bool> = preset(false, "false");
/// `proxy.limits.body_rate`: streams may say nothing for a while.
pub(super) const BODY_RATE: Preset<Option<u64>> = preset(None, "\"off\"");
/// Range of `proxy.limits.body_rate`
pub(super) const BODY_RATE_RANGE: RangeInclusive<u64> = 1..=1 << 30;
/// `cluster.engine`: whether it is NATS.
pub(super) const ENGINE: Preset<bool> = preset(false, "\"embedded\"");
/// `cluster.nats.prefix`
pub(super) const PREFIX: Preset<&str> = preset("meridian", "\"meridian\"");
/// `admin.listen`
pub(super) const ADMIN_LISTEN: Preset<SocketAddr> =
    preset(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8_053), "\"127.0.0.1:8053\"");
/// `log.format`
pub(super) const LOG_FORMAT: Preset<LogFormat> = preset(LogFormat::Text, "\"text\"");
/// `log.level`
pub(super) const LOG_LEVEL: Preset<&str> = preset("info", "\"info\"");

// fleet.toml

/// `monitor.scheme`
pub(super) const SCHEME: Preset<Scheme> = preset(Scheme::Http, "\"http\"");
/// `monitor.version`
pub(super) const HTTP_VERSION: Preset<HttpVersion> = preset(HttpVersion::One, "\"1.1\"");
/// `monitor.port` over TLS
pub(super) const HTTPS_PORT: Preset<u16> = preset(443, "443");
/// `monitor.path`
pub(super) const PATH: Preset<&str> = preset("/", "\"/\"");
/// `monitor.method`
pub(super) const METHOD: Preset<&str> = preset("GET", "\"GET\"");
/// `monitor.expect_status`
pub(super) const EXPECT_STATUS: Preset<RangeInclusive<u16>> = preset(200..=299, "[\"200-299\"]");
/// Range of `monitor.expect_status` (RFC 9110 section 15).
pub(super) const STATUS_RANGE: RangeInclusive<u16> = 100..=599;
/// `monitor.verify_certificate`
pub(super) const VERIFY: Preset<bool> = preset(true, "true");
/// Range of `monitor.expires_within`
pub(super) const EXPIRES_RANGE: RangeInclusive<Duration> = span(0, 3_650 * DAY);
/// `monitor.port` of kind `dns`
pub(super) const DNS_PORT: Preset<u16> = preset(53, "53");
/// `monitor.type`
pub(super) const DNS_TYPE: Preset<RecordType> = preset(RecordType::A, "\"A\"");
/// `monitor.transport`
pub(super) const DNS_TRANSPORT: Preset<DnsTransport> = preset(DnsTransport::Udp, "\"udp\"");
/// `monitor.recursion`: a server of zones takes no notice, a resolver needs it.
pub(super) const RECURSION: Preset<bool> = preset(true, "true");
/// `monitor.expect_rcode`
pub(super) const EXPECT_RCODE: Preset<u16> = preset(0, "\"NOERROR\"");
/// `monitor.expect_status` of kind `exec`
pub(super) const EXPECT_EXIT: Preset<RangeInclusive<u16>> = preset(0..=0, "[\"0\"]");
/// Range of `monitor.expect_status` of kind `exec`.
pub(super) const EXIT_RANGE: RangeInclusive<u16> = 0..=255;
/// `monitor.expires`
pub(super) const REPORT_EXPIRES: Preset<Duration> = seconds(300, "\"5m\"");
/// Range of `monitor.expires`
pub(super) const REPORT_RANGE: RangeInclusive<Duration> = span(1_000, 365 * DAY);
/// `monitor.stale`
pub(super) const STALE: Preset<Stale> = preset(Stale::Unknown, "\"unknown\"");
/// `monitor.fall` and `monitor.rise` of kind `feed`
pub(super) const REPORTS: Preset<u32> = preset(1, "1");
/// `monitor.invert`
pub(super) const INVERT: Preset<bool> = preset(false, "false");
/// Range of `monitor.at_least`
pub(super) const AT_LEAST_RANGE: RangeInclusive<u32> = 1..=65_535;
/// Range of the numbers in `monitor.weights`
pub(super) const MONITOR_WEIGHT_RANGE: RangeInclusive<u32> = 1..=1_000;
/// Range of `monitor.threshold`: all monitors there can be, at their heaviest.
pub(super) const THRESHOLD_RANGE: RangeInclusive<u32> = 1..=65_535_000;
/// `monitor.family`
pub(super) const FAMILY: Preset<Family> = preset(Family::Any, "\"any\"");
/// `monitor.interval`
pub(super) const INTERVAL: Preset<Duration> = seconds(5, "\"5s\"");
/// Range of `monitor.interval`: probes more often than ten a second are load, not monitoring.
pub(super) const INTERVAL_RANGE: RangeInclusive<Duration> = span(100, DAY);
/// `monitor.timeout`
pub(super) const TIMEOUT: Preset<Duration> = seconds(2, "\"2s\"");
/// Range of `monitor.timeout`
pub(super) const TIMEOUT_RANGE: RangeInclusive<Duration> = span(10, HOUR);
/// `monitor.fall`: one lost packet is no failure.
pub(super) const FALL: Preset<u32> = preset(2, "2");
/// `monitor.rise`
pub(super) const RISE: Preset<u32> = preset(2, "2");
/// Range of `monitor.fall` and `monitor.rise`: the state machine remembers that many results.
pub(super) const COUNT_RANGE: RangeInclusive<u32> = 1..=100;
/// `monitor.vantage`
pub(super) const VANTAGE: Preset<Vantage> = preset(Vantage::Majority, "\"majority\"");
/// `monitor.hold_down`
pub(super) const HOLD_DOWN: Preset<Duration> = seconds(10, "\"10s\"");
/// Range of `monitor.hold_down`
pub(super) const HOLD_DOWN_RANGE: RangeInclusive<Duration> = span(0, DAY);
/// `pool.min_up`
pub(super) const MIN_UP: Preset<f64> = preset(0.5, "0.5");
/// Range of `vantage.at_least`
pub(super) const VANTAGE_RANGE: RangeInclusive<u16> = 1..=1_000;
/// `weight` of an endpoint
pub(super) const WEIGHT: Preset<u32> = preset(100, "100");
/// Range of `weight`: sums over a pool stay far from overflow.
pub(super) const WEIGHT_RANGE: RangeInclusive<u32> = 0..=1_000_000;
/// `route.hosts`: none, which means all.
pub(super) const ROUTE_HOSTS: &str = "[] (all hosts)";
/// `route.path`
pub(super) const ROUTE_PATH: Preset<&str> = preset("/", "\"/\"");
/// `route.balance`: what the DNS tier does, too.
pub(super) const BALANCE: Preset<Balance> =
    preset(Balance::WeightedRoundRobin, "\"weighted-round-robin\"");
/// `route.timeouts.connect`: two lost packets inside a region.
pub(super) const CONNECT: Preset<Duration> = seconds(1, "\"1s\"");
/// `route.timeouts.response`
pub(super) const RESPONSE: Preset<Duration> = seconds(15, "\"15s\"");
/// `route.timeouts.idle`
pub(super) const ROUTE_IDLE: Preset<Duration> = seconds(60, "\"60s\"");
/// `route.timeouts.request`
pub(super) const REQUEST: Preset<Duration> = seconds(30, "\"30s\"");
/// `route.timeouts.websocket`: users come back to a page after lunch.
pub(super) const WEBSOCKET: Preset<Duration> = seconds(3_600, "\"1h\"");
/// `route.retry.attempts`
pub(super) const ATTEMPTS: Preset<u32> = preset(2, "2");
/// Range of `route.retry.attempts`
pub(super) const ATTEMPTS_RANGE: RangeInclusive<u32> = 1..=10;
/// `route.retry.on`
pub(super) const RETRY_ON: &str = "[\"connect\", \"reset\"]";
/// `route.retry.budget`: a storm of retries adds a fifth at most.
pub(super) const BUDGET: Preset<f64> = preset(0.2, "0.2");
/// `route.upstream.port`
pub(super) const UPSTREAM_PORT: Preset<u16> = preset(80, "80");
/// `route.upstream.protocol`: whether it is HTTP/2.
pub(super) const UPSTREAM_PROTOCOL: Preset<bool> = preset(false, "\"http1\"");
/// `route.upstream.max_connections`: what one server usually takes.
pub(super) const MAX_CONNECTIONS: Preset<u32> = preset(512, "512");
/// Range of `route.upstream.max_connections`: the ports of one address.
pub(super) const MAX_CONNECTIONS_RANGE: RangeInclusive<u32> = 1..=60_000;
/// `route.client_certificate`
pub(super) const CLIENT_CERTIFICATE: Preset<ClientCertificate> =
    preset(ClientCertificate::Off, "\"off\"");
/// `route.slow_start`
pub(super) const SLOW_START: Preset<Duration> = seconds(0, "\"0s\"");
/// Range of `route.slow_start`
pub(super) const SLOW_START_RANGE: RangeInclusive<Duration> = span(0, HOUR);
/// `route.redirect.status`: for good, and with the method that was asked with.
pub(super) const REDIRECT_STATUS: Preset<StatusCode> =
    preset(StatusCode::PERMANENT_REDIRECT, "308");
/// `route.respond.status`
pub(super) const RESPOND_STATUS: Preset<StatusCode> = preset(StatusCode::OK, "200");
/// Range of `route.respond.status`: a reply that ends a request (RFC 9110 section 15).
pub(super) const RESPOND_RANGE: RangeInclusive<u16> = 200..=599;
/// `content_type` of bodies that stand in the configuration.
pub(super) const CONTENT_TYPE: Preset<&str> =
    preset("text/plain; charset=utf-8", "\"text/plain; charset=utf-8\"");
/// Longest body that the configuration holds: a page, and many of them fit into memory.
pub(super) const OWN_BODY_MAX: u64 = 64 << 10;
/// `route.unavailable.status`
pub(super) const UNAVAILABLE_STATUS: Preset<StatusCode> =
    preset(StatusCode::SERVICE_UNAVAILABLE, "503");
/// Range of `route.unavailable.status`: it is a failure of ours.
pub(super) const UNAVAILABLE_RANGE: RangeInclusive<u16> = 500..=599;
/// `route.unavailable.retry_after`: after some rounds of probes.
pub(super) const RETRY_AFTER: Preset<Duration> = seconds(5, "\"5s\"");
/// Range of `route.unavailable.retry_after`
pub(super) const RETRY_AFTER_RANGE: RangeInclusive<Duration> = span(0, DAY);
/// `route.unavailable.cause_header`
pub(super) const CAUSE_HEADER: Preset<bool> = preset(true, "true");
/// `route.compress.encodings`: the one that is quickest for what it saves comes first.
pub(super) const ENCODINGS: &str = "[\"zstd\", \"br\", \"gzip\"]";
/// `route.compress.types`: text in all its forms; pictures and films are compressed already.
pub(super) const COMPRESSED_TYPES: Preset<[&str; 9]> = preset(
    [
        "text/*",
        "application/json",
        "application/ld+json",
        "application/javascript",
        "application/manifest+json",
        "application/xml",
        "application/xhtml+xml",
        "application/wasm",
        "image/svg+xml",
    ],
    "[\"text/*\", \"application/json\", \"application/ld+json\", \"application/javascript\", \
     \"application/manifest+json\", \"application/xml\", \"application/xhtml+xml\", \
     \"application/wasm\", \"image/svg+xml\"]",
);
/// `route.compress.min_size`: less fits into one packet anyway.
pub(super) const MIN_SIZE: Preset<u64> = preset(1 << 10, "\"1KiB\"");
/// Range of `route.compress.min_size`
pub(super) const MIN_SIZE_RANGE: RangeInclusive<u64> = 1..=1 << 30;
/// `route.eject.errors`: on unless it is off, as who fails everyone sent to it helps nobody.
pub(super) const EJECT_ERRORS: Preset<u32> = preset(5, "5");
/// Range of `route.eject.errors`: as many times are remembered.
pub(super) const EJECT_ERRORS_RANGE: RangeInclusive<u32> = 1..=1_000;
/// `route.eject.within`
pub(super) const EJECT_WITHIN: Preset<Duration> = seconds(10, "\"10s\"");
/// `route.eject.for`: about as long as a process takes to start again.
pub(super) const EJECT_FOR: Preset<Duration> = seconds(30, "\"30s\"");
/// Range of both.
pub(super) const EJECT_RANGE: RangeInclusive<Duration> = span(100, HOUR);
/// `route.eject.max_share`
pub(super) const EJECT_MAX_SHARE: Preset<f64> = preset(0.5, "0.5");
/// `route.eject.slow`: what is slow for one route is usual for another.
pub(super) const EJECT_SLOW: &str = "(never)";
/// `route.eject.status`: what a server says that cannot serve anything.
pub(super) const EJECT_STATUS: [u16; 3] = [502, 503, 504];
/// `route.eject.status` as written.
pub(super) const EJECT_STATUS_WRITTEN: &str = "[502, 503, 504]";
/// `route.upstream.queue`: a moment's worth.
pub(super) const QUEUE: Preset<u32> = preset(128, "128");
/// Range of `route.upstream.queue`
pub(super) const QUEUE_RANGE: RangeInclusive<u32> = 0..=100_000;
/// `route.timeouts.queue`: whoever waits longer is not helped by being served.
pub(super) const QUEUE_TIME: Preset<Duration> = seconds(1, "\"1s\"");
/// `route.timeouts.total`: downloads take as long as they take.
pub(super) const TOTAL: Preset<Option<Duration>> = preset(None, "\"off\"");
/// `route.priority`
pub(super) const PRIORITY: &str = "(all alike)";
/// `route.priority.from`: anybody can say that he matters.
pub(super) const PRIORITY_FROM: Preset<bool> = preset(false, "\"trusted\"");
/// `route.rate_limit.by`
pub(super) const RATE_BY: &str = "\"client-ip\"";
/// `route.rate_limit.burst`
pub(super) const RATE_BURST: &str = "(as in rate)";
/// Range of the number in `route.rate_limit.rate` and of `burst`
pub(super) const RATE_NUMBER_RANGE: RangeInclusive<u32> = 1..=1_000_000;
/// `route.rate_limit.v6`: what one customer gets at least (RFC 6177 section 2).
pub(super) const RATE_V6: Preset<u8> = preset(64, "64");
/// Range of `route.rate_limit.v6`
pub(super) const RATE_V6_RANGE: RangeInclusive<u8> = 1..=128;
/// `route.rescue.for`: resolvers that hold on to old answers do so for minutes.
pub(super) const RESCUE_FOR: Preset<Option<Duration>> =
    preset(Some(Duration::from_secs(600)), "\"10m\"");
/// Range of `route.rescue.for`
pub(super) const RESCUE_RANGE: RangeInclusive<Duration> = span(1_000, 30 * DAY);
/// `route.rescue.share`
pub(super) const RESCUE_SHARE: Preset<f64> = preset(1.0, "1.0");
/// `plan.epoch`
pub(super) const EPOCH: Preset<u32> = preset(0, "0");
/// Range of `plan.epoch` and `plan.version`
pub(super) const PLAN_RANGE: RangeInclusive<u32> = 0..=u32::MAX;
/// `plan.shrink`: what is gone is mostly gone by mistake.
pub(super) const SHRINK: Preset<bool> = preset(false, "false");
/// Range of ports.
pub(super) const PORT_RANGE: RangeInclusive<u16> = 1..=u16::MAX;
/// Range of autonomous system numbers (RFC 7607 reserves 0).
pub(super) const ASN_RANGE: RangeInclusive<u32> = 1..=u32::MAX;

// zones/NAME.toml

/// `zone.transfer.steered`
pub(super) const STEERED: Preset<Flattened> = preset(Flattened::Default, "\"default\"");
/// `policy`
pub(super) const POLICY: &str = "[\"weighted\"]";
/// `answers`, but for policies that end in `rotate`
pub(super) const ANSWERS: Preset<u16> = preset(1, "1");
/// `answers` after `rotate`
pub(super) const ANSWERS_ROTATE: &str = "all";
/// Range of `answers`: as many AAAA records as fit in the largest UDP answer.
pub(super) const ANSWERS_RANGE: RangeInclusive<u16> = 1..=128;
/// `ttl.min`
pub(super) const TTL_MIN: Preset<Duration> = seconds(5, "\"5s\"");
/// `ttl.max`
pub(super) const TTL_MAX: Preset<Duration> = seconds(30, "\"30s\"");
/// Range of `ttl.min` and `ttl.max`: a second is the unit, and a steered answer older than a day
/// steers nobody.
pub(super) const TTL_RANGE: RangeInclusive<Duration> = span(1_000, DAY);
/// `all_down`
pub(super) const ALL_DOWN: Preset<AllDown> = preset(AllDown::All, "\"all\"");
/// `failback`
pub(super) const FAILBACK: Preset<Failback> = preset(Failback::Auto, "\"auto\"");
/// Range of `failback.delay` and `failback.ramp`
pub(super) const FAILBACK_RANGE: RangeInclusive<Duration> = span(1_000, 7 * DAY);
/// `strict` of `fence`
pub(super) const STRICT: Preset<bool> = preset(false, "false");
/// `tolerance` of `proximity` and `nearest`
pub(super) const TOLERANCE: Preset<f64> = preset(0.0, "0");
/// Range of `bias` of `proximity`.
pub(super) const BIAS_RANGE: RangeInclusive<i8> = -99..=99;
/// `n` of `nearest`
pub(super) const NEAREST: Preset<u16> = preset(1, "1");
/// Range of `n` of `nearest`
pub(super) const NEAREST_RANGE: RangeInclusive<u16> = 1..=1_000;
/// `prefix.v4` of `affinity`
pub(super) const AFFINITY_V4: Preset<u8> = preset(24, "24");
/// Range of `prefix.v4` of `affinity`
pub(super) const AFFINITY_V4_RANGE: RangeInclusive<u8> = 1..=32;
/// `prefix.v6` of `affinity`
pub(super) const AFFINITY_V6: Preset<u8> = preset(48, "48");
/// Range of `prefix.v6` of `affinity`
pub(super) const AFFINITY_V6_RANGE: RangeInclusive<u8> = 1..=128;
/// `route.cache.size`
pub(super) const CACHE_SIZE: Preset<u64> = preset(64 << 20, "\"64MiB\"");
/// Range of `route.cache.size`
pub(super) const CACHE_SIZE_RANGE: RangeInclusive<u64> = 1 << 20..=1 << 40;
/// `route.cache.object`
pub(super) const CACHE_OBJECT: Preset<u64> = preset(1 << 20, "\"1MiB\"");
/// Range of `route.cache.object`
pub(super) const CACHE_OBJECT_RANGE: RangeInclusive<u64> = 1 << 10..=1 << 30;
/// `route.cache.stale_while_revalidate` and `route.cache.stale_if_error`
pub(super) const CACHE_STALE: Preset<Duration> = seconds(0, "\"0s\"");
/// Range of the times of `route.cache`
pub(super) const CACHE_STALE_RANGE: RangeInclusive<Duration> = span(0, 30 * DAY);
/// `route.cache.collapse`
pub(super) const CACHE_COLLAPSE: Preset<bool> = preset(true, "true");
/// `route.cache.obey_requests`
pub(super) const CACHE_OBEY: Preset<bool> = preset(false, "false");
