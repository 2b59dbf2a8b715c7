//! Endpoints of other regions, for requests that the own region has no endpoint for.
//!
//! Clients with an old answer of DNS still come while their region is down. A request goes to
//! another region once: it carries a mark from then on (RFC 8586), so that proxies that lead to
//! each other do not pass it on for ever.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::place::{Place, Places};
use super::view::NoPlace;
use crate::clock::Tick;
use crate::health::Level;
use crate::metrics::ProxyMetrics;
use crate::model::{RegionId, Rescue, Route};
use crate::snapshot::State;

/// The mark of a request that has passed a proxy which is not its origin's.
const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
/// What stands in it.
const MARK: HeaderValue = HeaderValue::from_static("meridian");

/// The endpoints of other regions that are up, by region, the nearest first.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    regions: Vec<There>,
    /// Whether the own region has any endpoint at all.
    has_own: bool,
    /// Since when all of them are down; `None`: they are not.
    down_since: Option<Tick>,
}

#[derive(Debug)]
struct There {
    name: String,
    places: Vec<Place>,
}

/// Where a request goes instead, and why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refuge<'a> {
    pub(super) place: &'a Place,
    pub(super) region: &'a str,
    pub(super) reason: &'static str,
}

impl Elsewhere {
    /// The endpoints of the route's pool outside the node's region; none where the route does not
    /// want them.
    pub(super) fn new(route: &Route, state: &State, places: &Places<'_>) -> Self {
        let (Some(_), Some(pool)) = (&route.protection.rescue, route.pool()) else {
            return Self::default();
        };
        let (fleet, home) = (&state.loaded.model.fleet, state.loaded.model.node.region);
        let pool = || fleet.endpoints_of(fleet.pool(pool));
        let health = |id: crate::model::EndpointId| state.health.get(id.0 as usize);
        let own = || pool().filter(|(_, endpoint)| endpoint.region == home);
        let fallen = || own().filter_map(|(id, _)| health(id).filter(|h| h.level == Level::Down));
        let all_down = own().count() == fallen().count();
        let here = fleet.region(home).point;
        let mut regions: Vec<RegionId> =
            pool().map(|(_, endpoint)| endpoint.region).filter(|region| *region != home).collect();
        let far = |region: &RegionId| here.distance_km(fleet.region(*region).point);
        regions.sort_by(|one, other| far(one).total_cmp(&far(other)).then(one.cmp(other)));
        regions.dedup();
        let there = regions.into_iter().map(|region| {
            let places = places.up_in(region);
            There { name: fleet.region(region).name.clone(), places }
        });
        Self {
            regions: there.collect(),
            has_own: own().next().is_some(),
            down_since: fallen().map(|health| health.since).max().filter(|_| all_down),
        }
    }

    /// Makes the counters of requests that go there.
    pub(super) fn show(&self, route: &str, metrics: &ProxyMetrics) {
        for there in &self.regions {
            for reason in ["down", "failed", "full", "none"] {
                let labels = [route, there.name.as_str(), reason];
                metrics.protection.rescued.with_label_values(&labels);
            }
        }
    }

    /// Where a request may go that found no place here.
    pub(super) fn find(
        &self,
        rescue: Rescue,
        why: NoPlace,
        now: Tick,
        random: u64,
        free: impl Fn(&Place) -> bool,
    ) -> Option<Refuge<'_>> {
        let late =
            rescue.time.zip(self.down_since).is_some_and(|(time, since)| now.since(since) > time);
        let part = |bits: u64| (bits & 0xffff_ffff) as f64 / (1_u64 << 32) as f64;
        if late || part(random) >= rescue.share {
            return None;
        }
        let reason = match why {
            NoPlace::Full => "full",
            NoPlace::Down if !self.has_own => "none",
            NoPlace::Down if self.down_since.is_some() => "down",
            NoPlace::Down => "failed",
        };
        self.regions.iter().find_map(|there| {
            let candidates = || there.places.iter().filter(|place| free(place));
            let total: f64 = candidates().map(Place::weight).sum();
            let mut left = part(random >> 32) * total;
            let chosen = candidates().find(|place| {
                left -= place.weight();
                left < 0.0
            });
            let place = chosen.or_else(|| candidates().next())?;
            Some(Refuge { place, region: &there.name, reason })
        })
    }
}

/// Whether a request has been to another region before.
pub(super) fn is_marked(headers: &HeaderMap) -> bool {
    headers.get_all(CDN_LOOP).iter().any(|value| {
        let elements = value.as_bytes().split(|octet| *octet == b',');
        let mut names = elements.filter_map(|element| element.split(|octet| *octet == b';').next());
        names.any(|name| name.trim_ascii().eq_ignore_ascii_case(MARK.as_bytes()))
    })
}

/// Marks a request that goes to another region.
pub(super) fn mark(headers: &mut HeaderMap) {
    if !is_marked(headers) {
        headers.append(CDN_LOOP, MARK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_among_others() {
        for (value, expected) in [
            ("meridian", true),
            ("cdn.example; a=\"b\", Meridian;v=1", true),
            ("meridian2", false),
            ("cdn.example", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(CDN_LOOP, HeaderValue::from_static(value));
            assert_eq!(is_marked(&headers), expected, "{value}");
            mark(&mut headers);
            assert!(is_marked(&headers), "{value}");
            assert_eq!(headers.get_all(CDN_LOOP).iter().count(), 2 - usize::from(expected));
        }
    }
}
