//! What a snapshot would answer if regions were down.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Prepared, ServedZone, ServiceAnswers, Snapshot, State, Steering, ZoneEntry, ZoneSet};
use crate::health::{CauseKind, Level, burdened};
use crate::model::RegionId;

/// Why an endpoint is down that is only supposed to be.
const CAUSE: &str = "supposed to be down";

impl Snapshot {
    /// The same while every endpoint of these regions is down; `None`: this snapshot was put
    /// together by hand.
    pub fn supposing(&self, down: &[RegionId]) -> Option<Self> {
        let state = Arc::new(self.state.as_ref()?.supposing(down));
        let mut known = HashMap::new();
        let mut prepared = |steering: &Arc<Steering>| -> Arc<Prepared> {
            let made = || Arc::new(Prepared::new(steering, &state.view(steering)));
            known.entry(Arc::as_ptr(steering)).or_insert_with(made).clone()
        };
        let mut again = |answers: &Arc<ServiceAnswers>| {
            let mut supposed = ServiceAnswers::clone(answers);
            supposed.prepared = prepared(answers.steering());
            Arc::new(supposed)
        };
        let entries = self.zones.iter().map(|(apex, entry)| {
            let entry = match entry {
                ZoneEntry::Serving(served) => ZoneEntry::Serving(ServedZone {
                    services: served.services.iter().map(&mut again).collect(),
                    ..served.clone()
                }),
                other => other.clone(),
            };
            (apex.clone(), entry)
        });
        let zones = ZoneSet::new(entries.collect::<Vec<_>>());
        Some(Self {
            generation: self.generation,
            zones,
            primaries: self.primaries.clone(),
            options: self.options.clone(),
            issuance: self.issuance.clone(),
            region_labels: self.region_labels.clone(),
            state: Some(state),
        })
    }
}

impl State {
    fn supposing(&self, down: &[RegionId]) -> Self {
        let fleet = &self.loaded.model.fleet;
        let mut health = self.health.clone();
        let mut levels: Vec<Level> = health.iter().map(|one| one.level).collect();
        for (level, endpoint) in levels.iter_mut().zip(&fleet.endpoints) {
            if down.contains(&endpoint.region) {
                *level = Level::Down;
            }
        }
        burdened(fleet, &mut levels, |_| false);
        for (one, level) in health.iter_mut().zip(levels) {
            if one.level != level {
                (one.level, one.cause) = (level, CAUSE.into());
                one.kind = (level == Level::Down).then_some(CauseKind::Connect);
                one.is_forced_up = false;
            }
        }
        Self {
            loaded: self.loaded.clone(),
            health,
            council: self.council.clone(),
            overrides: self.overrides.clone(),
            hosts: self.hosts.clone(),
            contests: self.contests.clone(),
            loads: self.loads.clone(),
            spreads: self.spreads.clone(),
        }
    }
}
