//! The endpoints of a pool that are left out, for all threads of this node together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::warn;

use super::eject::{Cause, Ejector, Ruling};
use super::load::EndpointLoad;
use crate::clock::Tick;
use crate::metrics::ProxyMetrics;
use crate::model::EjectRules;

/// The endpoints of one pool in one region under the same rules.
#[derive(Debug)]
pub(super) struct Ejections {
    members: Box<[Member]>,
    /// Locked for errors, for the successes that end a row of them, and every second.
    ejector: Mutex<Ejector>,
    pool: String,
    region: String,
    metrics: Arc<crate::metrics::Metrics>,
}

/// One endpoint, as it is looked at without the lock.
#[derive(Debug)]
struct Member {
    load: Arc<EndpointLoad>,
    /// A [`Tick`]; 0: it never was.
    out_until: AtomicU64,
    /// Whether its next success changes anything.
    suspect: AtomicBool,
}

/// An endpoint among those of its pool.
#[derive(Clone, Debug)]
pub(super) struct Ejectable {
    all: Arc<Ejections>,
    number: usize,
}

impl Ejectable {
    /// Whether it is left out at `now`.
    pub(super) fn is_out(&self, now: Tick) -> bool {
        self.all.member_is_out(self.number, now)
    }

    /// A request succeeded, which mostly changes nothing.
    pub(super) fn succeeded(&self) {
        let Some(member) = self.all.members.get(self.number) else { return };
        if member.suspect.load(Ordering::Relaxed) {
            let mut ejector = self.all.ejector.lock().unwrap_or_else(PoisonError::into_inner);
            ejector.succeeded(self.number);
            self.all.show(&ejector, self.number);
        }
    }

    /// A request failed by its fault.
    pub(super) fn failed(&self, now: Tick) {
        let mut ejector = self.all.ejector.lock().unwrap_or_else(PoisonError::into_inner);
        let ruling = ejector.failed(self.number, now);
        self.all.ruled(&ejector, self.number, ruling, now);
    }
}

impl Ejections {
    fn new(
        key: &Key,
        members: &[Arc<EndpointLoad>],
        before: Option<&Self>,
        metrics: &Arc<crate::metrics::Metrics>,
    ) -> Self {
        let (pool, region, rules) = (key.pool.clone(), key.region.clone(), key.rules);
        let ejector = match before {
            None => Ejector::new(rules, members.len()),
            Some(before) => {
                let known = |load: &Arc<EndpointLoad>| {
                    before.members.iter().position(|member| Arc::ptr_eq(&member.load, load))
                };
                let numbers: Vec<Option<usize>> = members.iter().map(known).collect();
                before.ejector.lock().unwrap_or_else(PoisonError::into_inner).over(&numbers)
            }
        };
        let member = |load: &Arc<EndpointLoad>| Member {
            load: load.clone(),
            out_until: AtomicU64::new(0),
            suspect: AtomicBool::new(false),
        };
        let members: Box<[Member]> = members.iter().map(member).collect();
        let counted = &metrics.proxy.protection.ejections;
        for cause in [Cause::Errors, Cause::Slow] {
            for result in ["ejected", "spared"] {
                counted.with_label_values(&[pool.as_str(), &region, cause.as_str(), result]);
            }
        }
        metrics.proxy.protection.ejected.with_label_values(&[pool.as_str(), &region]);
        let metrics = metrics.clone();
        let new = Self { members, ejector: Mutex::new(ejector), pool, region, metrics };
        let ejector = new.ejector.lock().unwrap_or_else(PoisonError::into_inner);
        (0..new.members.len()).for_each(|number| new.show(&ejector, number));
        drop(ejector);
        new
    }

    fn member_is_out(&self, number: usize, now: Tick) -> bool {
        let member = self.members.get(number);
        member.is_some_and(|member| now.0 < member.out_until.load(Ordering::Relaxed))
    }

    /// Lets an endpoint be looked at without the lock.
    fn show(&self, ejector: &Ejector, number: usize) {
        let Some(member) = self.members.get(number) else { return };
        let (until, suspect) = ejector.standing(number);
        member.out_until.store(until.map_or(0, |until| until.0), Ordering::Relaxed);
        member.suspect.store(suspect, Ordering::Relaxed);
    }

    /// Tells what was ruled.
    fn ruled(&self, ejector: &Ejector, number: usize, ruling: Ruling, now: Tick) {
        self.show(ejector, number);
        let (cause, result) = match ruling {
            Ruling::None => return,
            Ruling::Ejected(cause, _) => (cause, "ejected"),
            Ruling::Spared(cause) => (cause, "spared"),
        };
        let labels = [self.pool.as_str(), &self.region, cause.as_str(), result];
        self.metrics.proxy.protection.ejections.with_label_values(&labels).inc();
        if let (Ruling::Ejected(_, until), Some(member)) = (ruling, self.members.get(number)) {
            let (endpoint, time) = (member.load.address(), until.since(now));
            let (pool, region, cause) = (&self.pool, &self.region, cause.as_str());
            warn!(pool, region, endpoint, cause, ?time, "endpoint is ejected");
        }
    }

    /// Compares response times, where the rules say so.
    fn compare(&self, now: Tick) {
        let latencies: Vec<f32> =
            self.members.iter().map(|member| member.load.latency_ms(now)).collect();
        let mut ejector = self.ejector.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rulings = Vec::new();
        ejector.compare(&latencies, now, |number, ruling| rulings.push((number, ruling)));
        for (number, ruling) in rulings {
            self.ruled(&ejector, number, ruling, now);
        }
    }

    fn out(&self, now: Tick) -> impl Iterator<Item = &Arc<EndpointLoad>> {
        let numbered = self.members.iter().enumerate();
        let out = numbered.filter(move |(number, _)| self.member_is_out(*number, now));
        out.map(|(_, member)| &member.load)
    }
}

/// What endpoints have in common that are ejected together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) pool: String,
    pub(super) region: String,
    pub(super) rules: EjectRules,
}

/// The ejections of all pools. As many as routes ever led to since the start with rules of their
/// own, but for those that no thread holds any more.
#[derive(Debug, Default)]
pub(super) struct AllEjections {
    /// Locked when a thread follows a new snapshot and every second, never for a request.
    all: Mutex<Vec<(Key, Arc<Ejections>)>>,
}

impl AllEjections {
    /// The places of these endpoints among those that are ejected together, in their order. What
    /// is known of each outlasts a reload.
    pub(super) fn of(
        &self,
        key: &Key,
        members: &[Arc<EndpointLoad>],
        metrics: &Arc<crate::metrics::Metrics>,
    ) -> Vec<Ejectable> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|(other, _)| other == key);
        let known = at.and_then(|at| all.get_mut(at));
        let same = |known: &Ejections| {
            known.members.len() == members.len()
                && known.members.iter().zip(members).all(|(a, b)| Arc::ptr_eq(&a.load, b))
        };
        let found = match known {
            Some((_, known)) if same(known) => known.clone(),
            Some((_, known)) => {
                *known = Arc::new(Ejections::new(key, members, Some(known), metrics));
                known.clone()
            }
            None => {
                let new = Arc::new(Ejections::new(key, members, None, metrics));
                all.push((key.clone(), new.clone()));
                new
            }
        };
        drop(all);
        (0..members.len()).map(|number| Ejectable { all: found.clone(), number }).collect()
    }

    /// Compares response times, shows how many endpoints are out, and gives these with why; every
    /// second.
    pub(super) fn sweep(&self, metrics: &ProxyMetrics, now: Tick) -> Vec<Arc<EndpointLoad>> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(key, ejections)| {
            let held = Arc::strong_count(ejections) > 1;
            if !held {
                // The error is that it is gone already.
                let _ = metrics.protection.ejected.remove_label_values(&[&key.pool, &key.region]);
            }
            held
        });
        let mut counts: HashMap<[&str; 2], i64> = HashMap::new();
        let mut out: Vec<Arc<EndpointLoad>> = Vec::new();
        for (key, ejections) in &*all {
            if key.rules.slow.is_some() {
                ejections.compare(now);
            }
            let count = counts.entry([&key.pool, &key.region]).or_default();
            for load in ejections.out(now) {
                if !out.iter().any(|other| Arc::ptr_eq(other, load)) {
                    *count += 1;
                    out.push(load.clone());
                }
            }
        }
        for (labels, count) in counts {
            metrics.protection.ejected.with_label_values(&labels).set(count);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::health::EndpointIdentity;
    use crate::metrics::Metrics;
    use crate::model::Address;
    use crate::proxy::load::Loads;

    #[test]
    fn what_is_out_is_out_for_all_and_over_reloads() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let loads = Loads::default();
        let load = |last: u8| {
            let address = Address::Ip([192, 0, 2, last].into());
            let identity =
                EndpointIdentity { pool: "web".into(), region: "eu".into(), address, probe: None };
            loads.of(identity, &metrics.proxy)
        };
        let (a, b, c) = (load(1), load(2), load(3));
        let rules = EjectRules {
            errors: 2,
            within: Duration::from_secs(10),
            time: Duration::from_secs(30),
            max_share: 0.5,
            slow: None,
        };
        let key = Key { pool: "web".into(), region: "eu".into(), rules };
        let all = AllEjections::default();
        let one = all.of(&key, &[a.clone(), b.clone()], &metrics);
        let other = all.of(&key, &[a.clone(), b.clone()], &metrics);
        one[0].failed(Tick(1000));
        one[0].succeeded();
        other[0].failed(Tick(1000));
        assert!(!one[0].is_out(Tick(1000)), "a success ended the row");
        one[0].failed(Tick(1000));
        assert!(one[0].is_out(Tick(1000)) && other[0].is_out(Tick(1000)));
        one[1].failed(Tick(1000));
        one[1].failed(Tick(1000));
        assert!(!other[1].is_out(Tick(1000)), "no more than half of them");
        let later = all.of(&key, &[c, b, a], &metrics);
        let out = |now| [0, 1, 2].map(|at: usize| later[at].is_out(Tick(now)));
        assert_eq!(out(30_999), [false, false, true]);
        assert_eq!(out(31_000), [false; 3]);
        assert_eq!(all.sweep(&metrics.proxy, Tick(2000)).len(), 1);
        let shown = metrics.proxy.protection.ejected.with_label_values(&["web", "eu"]).get();
        assert_eq!(shown, 1);
        drop((one, other, later));
        assert!(all.sweep(&metrics.proxy, Tick(2000)).is_empty(), "nobody holds them any more");
    }
}
