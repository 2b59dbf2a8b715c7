//! Defaults of `[latency]`.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{DAY, HOUR, Preset, preset, seconds, span};
use crate::model::ResolverProbe;

/// `latency.explore`: enough for a client prefix with a thousand answers a day.
pub(in crate::config) const EXPLORE: Preset<f64> = preset(0.005, "0.005");
/// `latency.keep`
pub(in crate::config) const KEEP: Preset<Duration> = seconds(7 * DAY, "\"7d\"");
/// Range of `latency.keep`
pub(in crate::config) const KEEP_RANGE: RangeInclusive<Duration> = span(HOUR * 1_000, 365 * DAY);
/// `latency.learn`
pub(in crate::config) const LEARN: Preset<bool> = preset(true, "true");

/// `latency.resolvers.kind`: a question is one packet, and who refuses it has answered, too.
pub(in crate::config) const RESOLVER_KIND: Preset<ResolverProbe> =
    preset(ResolverProbe::Dns, "\"dns\"");
/// `latency.resolvers.kind`
pub(in crate::config) const RESOLVER_KINDS: [(&str, ResolverProbe); 2] =
    [("dns", ResolverProbe::Dns), ("tcp", ResolverProbe::Tcp)];
/// `latency.resolvers.port`
pub(in crate::config) const RESOLVER_PORT: Preset<u16> = preset(53, "53");
/// `latency.resolvers.interval`: samples lose half their weight in six times as long.
pub(in crate::config) const RESOLVER_INTERVAL: Preset<Duration> = seconds(HOUR, "\"1h\"");
/// Range of `latency.resolvers.interval`: nobody's resolver is asked more than once in ten seconds.
pub(in crate::config) const RESOLVER_INTERVAL_RANGE: RangeInclusive<Duration> =
    span(10_000, 7 * DAY);
/// `latency.resolvers.timeout`
pub(in crate::config) const RESOLVER_TIMEOUT: Preset<Duration> = seconds(2, "\"2s\"");
/// Range of `latency.resolvers.timeout`: no round trip is longer.
pub(in crate::config) const RESOLVER_TIMEOUT_RANGE: RangeInclusive<Duration> = span(100, 10);
/// `latency.resolvers.rate`: 18,000 an hour.
pub(in crate::config) const RESOLVER_RATE: Preset<NonZeroU32> =
    preset(NonZeroU32::MIN.saturating_add(4), "\"5/s\"");
/// Range of `latency.resolvers.rate`.
pub(in crate::config) const RESOLVER_RATE_RANGE: RangeInclusive<u32> = 1..=1_000;
/// Most resolvers.
pub(in crate::config) const RESOLVERS_MAX: usize = 100_000;
