//! The router: which route a request takes, by host, path, method and header fields.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use http::HeaderMap;
use http::Method;

use crate::model::{HostPattern, PathPattern, Route};

/// All routes of a fleet, by host.
///
/// A request belongs to the exact host, else to the longest `*.` above it, else to the routes for
/// all hosts; where none of a host's routes is for it, the next wider host's are asked. Within a
/// host an exact path comes before regular expressions, these before prefixes; the longest prefix
/// is first, and what is still equal stands in the order of the file.
#[derive(Debug, Default)]
pub struct Router {
    exact: HashMap<Box<str>, Vec<Ranked>, RandomState>,
    /// By the part behind `*`, which starts with a dot.
    below: HashMap<Box<str>, Vec<Ranked>, RandomState>,
    any: Vec<Ranked>,
}

/// A route and its place in the fleet.
#[derive(Clone, Debug)]
struct Ranked {
    index: usize,
    route: Arc<Route>,
}

/// What a route is chosen by.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// In lower case, without port.
    pub host: &'a str,
    /// Without the query.
    pub path: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

impl Router {
    /// The router of these routes, which stand in the order of the file.
    pub fn new(routes: &[Arc<Route>]) -> Self {
        let mut router = Self::default();
        for (index, route) in routes.iter().enumerate() {
            let ranked = Ranked { index, route: route.clone() };
            for host in &route.hosts {
                let (hosts, name) = match host {
                    HostPattern::Exact(name) => (&mut router.exact, name),
                    HostPattern::Below(name) => (&mut router.below, name),
                };
                hosts.entry(name.as_str().into()).or_default().push(ranked.clone());
            }
            if route.hosts.is_empty() {
                router.any.push(ranked);
            }
        }
        let groups = router.exact.values_mut().chain(router.below.values_mut());
        // The sort is stable, so the file decides between equals.
        groups.chain([&mut router.any]).for_each(|group| group.sort_by_key(Ranked::order));
        router
    }

    /// The place in the fleet of the route that a request takes; `None`: none is for it.
    pub fn find(&self, target: &Target<'_>) -> Option<usize> {
        let of = |group: Option<&Vec<Ranked>>| {
            group?.iter().find(|ranked| ranked.takes(target)).map(|ranked| ranked.index)
        };
        if let Some(found) = of(self.exact.get(target.host)) {
            return Some(found);
        }
        if !self.below.is_empty() {
            // Each dot but one at the very start has a name before it.
            let dots = target.host.match_indices('.').filter(|(at, _)| *at > 0);
            let mut above = dots.filter_map(|(at, _)| target.host.get(at..));
            if let Some(found) = above.find_map(|above| of(self.below.get(above))) {
                return Some(found);
            }
        }
        of(Some(&self.any))
    }
}

impl Ranked {
    /// Sorts the routes of a host.
    fn order(&self) -> (u8, std::cmp::Reverse<usize>) {
        let (kind, length) = match &self.route.path {
            PathPattern::Exact(_) => (0, 0),
            PathPattern::Regex(_) => (1, 0),
            PathPattern::Prefix(prefix) => (2, prefix.len()),
        };
        (kind, std::cmp::Reverse(length))
    }

    fn takes(&self, target: &Target<'_>) -> bool {
        let Route { path, headers, methods, .. } = &*self.route;
        path.matches(target.path)
            && (methods.is_empty() || methods.contains(target.method))
            && headers.iter().all(|(name, value)| {
                let mut found = target.headers.get_all(name).iter();
                found.any(|found| found.as_bytes() == value.as_bytes())
            })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderName, HeaderValue};
    use regex::Regex;

    use super::*;
    use crate::model::{
        Action, Balance, PoolId, Protection, Retry, RouteTimeouts, Shape, Upstream,
    };

    fn route(hosts: &[&str], path: &str) -> Route {
        let second = Duration::from_secs(1);
        let host = |text: &&str| match text.strip_prefix('*') {
            Some(below) => HostPattern::Below(below.to_owned()),
            None => HostPattern::Exact((*text).to_owned()),
        };
        let path = match (path.strip_prefix('='), path.strip_prefix('~')) {
            (Some(exact), _) => PathPattern::Exact(exact.to_owned()),
            (_, Some(regex)) => PathPattern::Regex(Regex::new(regex).unwrap()),
            _ => PathPattern::Prefix(path.to_owned()),
        };
        Route {
            name: String::new(),
            hosts: hosts.iter().map(host).collect(),
            path,
            headers: Vec::new(),
            methods: Vec::new(),
            action: Action::Pool(PoolId(0)),
            balance: Balance::RoundRobin,
            timeouts: RouteTimeouts {
                connect: second,
                response: second,
                idle: second,
                request: second,
                websocket: second,
            },
            retry: Retry {
                attempts: 1,
                on_connect: false,
                on_reset: false,
                on_status: Vec::new(),
                budget: 0.0,
            },
            hedge: None,
            cache: None,
            upstream: Upstream { port: 80, max_connections: 1, way: crate::model::Way::default() },
            client_certificate: crate::model::ClientCertificate::Off,
            slow_start: Duration::ZERO,
            shape: Shape::default(),
            protection: Protection::default(),
        }
    }

    fn found(router: &Router, method: &Method, host: &str, path: &str) -> Option<usize> {
        let mut headers = HeaderMap::new();
        headers.append("x-tier", HeaderValue::from_static("free"));
        headers.append("x-tier", HeaderValue::from_static("gold"));
        router.find(&Target { host, path, method, headers: &headers })
    }

    #[test]
    fn the_narrowest_host_then_the_longest_path_wins() {
        let mut gold = route(&["tier.test"], "/");
        gold.headers.push((HeaderName::from_static("x-tier"), "gold".to_owned()));
        let mut silver = route(&["tier.test"], "/x");
        silver.headers.push((HeaderName::from_static("x-tier"), "silver".to_owned()));
        let mut post = route(&["a.test"], "/post");
        post.methods.push(Method::POST);
        let routes = [
            route(&[], "/"),
            route(&["a.test", "b.test"], "/"),
            route(&["a.test"], "/api"),
            route(&["a.test"], "/api/v2"),
            route(&["a.test"], "=/api/v2/exact"),
            route(&["a.test"], "~^/re/[0-9]+$"),
            route(&["*.a.test"], "/"),
            route(&["*.deep.a.test"], "/only"),
            route(&["b.test"], "/"),
            post,
            gold,
            silver,
            route(&["a.test"], "/dir/"),
        ];
        let routes: Vec<Arc<Route>> = routes.into_iter().map(Arc::new).collect();
        let router = Router::new(&routes);
        for (case, host, path, expected) in [
            ("an unknown host", "c.test", "/api", 0),
            ("a host", "a.test", "/", 1),
            ("the second of two hosts, the first of two equal routes", "b.test", "/q", 1),
            ("a prefix", "a.test", "/api/v1", 2),
            ("the prefix itself", "a.test", "/api", 2),
            ("a name that only begins so", "a.test", "/apiary", 1),
            ("a prefix with a slash", "a.test", "/dir/x", 12),
            ("the same without it", "a.test", "/dir", 1),
            ("the longer prefix", "a.test", "/api/v2/x", 3),
            ("an exact path", "a.test", "/api/v2/exact", 4),
            ("a regular expression", "a.test", "/re/12", 5),
            ("none", "a.test", "/re/x", 1),
            ("a name below", "x.a.test", "/", 6),
            ("two names below", "x.y.a.test", "/", 6),
            ("the longer name above", "x.deep.a.test", "/only", 7),
            ("the shorter, where the longer has no such path", "x.deep.a.test", "/", 6),
            ("another method", "a.test", "/post", 1),
            ("any of the values of a field", "tier.test", "/x", 10),
            ("a dot at the start", ".a.test", "/", 0),
            ("no host", "", "/", 0),
        ] {
            assert_eq!(found(&router, &Method::GET, host, path), Some(expected), "{case}");
        }
        assert_eq!(found(&router, &Method::POST, "a.test", "/post"), Some(9));
        assert_eq!(found(&Router::new(&[]), &Method::GET, "a.test", "/"), None);
    }
}
