//! Zones that are fetched from a primary, and who is told of their changes.

use super::Publisher;
use crate::model::ZoneFiles;
use crate::snapshot::PrimaryLink;

impl Publisher {
    /// Gives each zone that has a primary somebody to be told of changes.
    pub(super) fn follow_primaries(&mut self) {
        let zones = self.loaded.model.zones.iter().filter(|zone| zone.primary.is_some());
        let told = zones.map(|zone| {
            let told = self.told.get(&zone.origin).cloned().unwrap_or_default();
            (zone.origin.clone(), told)
        });
        self.told = told.collect();
    }

    /// Where the zones are fetched from, in their order, and who is told when one has changed.
    pub fn primaries(&self) -> Vec<Option<PrimaryLink>> {
        let link = |files: &ZoneFiles| {
            let primary = files.primary.clone()?;
            let told = self.told.get(&files.origin).cloned().unwrap_or_default();
            Some(PrimaryLink { primary, told })
        };
        self.loaded.model.zones.iter().map(link).collect()
    }
}
