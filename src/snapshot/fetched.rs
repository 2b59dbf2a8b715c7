//! Zones that are fetched from a primary: as they were kept on disk, and as they come in.

use std::sync::Arc;

use super::load::{Loaded, LoadedZone, owners, shown, steered};
use crate::clock;
use crate::diagnostic::{Diagnostic, Diagnostics, Location};
use crate::model::{Primary, ZoneFiles};
use crate::name::Name;
use crate::zone::schedule::Schedule;
use crate::zone::{Records, Steered, Zone, kept};

/// What came from a primary.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The records, sorted.
    pub records: Arc<Records>,
    /// When the primary was last heard of, in seconds since 1970-01-01 UTC.
    pub heard: u64,
}

/// What becomes of a zone that has a primary.
#[derive(Clone, Debug)]
pub enum FetchedZone {
    /// It was fetched.
    Fresh(Box<LoadedZone>),
    /// Its primary was not heard of for too long.
    Expired(Name, Primary),
}

/// Loads a zone that has a primary: from `before`, or as it was kept on disk.
pub(super) fn load(
    files: &ZoneFiles,
    before: Option<&LoadedZone>,
    diagnostics: &mut Diagnostics,
) -> Option<LoadedZone> {
    let known = before.filter(|before| before.knows(files.primary.as_ref()));
    if let Some(before) = known {
        return before.beside(files);
    }
    let read = match kept::read(&files.master) {
        Ok(read) => read,
        Err(error) => {
            let at = Location::file(&shown(&files.master));
            let what = format!("the zone as last fetched cannot be read: {error}");
            diagnostics.push(Diagnostic::warning(at, what).hint("it is fetched anew"));
            None
        }
    };
    let Some((records, heard)) = read else { return LoadedZone::fetched(files, None) };
    let zone = LoadedZone::fetched(files, Some(Fetched { records: Arc::new(records), heard }))?;
    let apex = files.origin.as_wire();
    let schedule = zone.copy().and_then(|(records, _)| Schedule::of(&records, apex));
    let silence = clock::unix_seconds().saturating_sub(heard);
    let silence = std::time::Duration::from_secs(silence);
    match schedule {
        Some((_, schedule)) if schedule.left(silence).is_some() => Some(zone),
        Some(_) => Some(zone.expire()),
        None => LoadedZone::fetched(files, None),
    }
}

impl LoadedZone {
    /// A zone of these records beside the services of `files`; `None`: the records are no zone that
    /// can be served.
    pub fn fetched(files: &ZoneFiles, fetched: Option<Fetched>) -> Option<Self> {
        let steered = steered(files);
        let zone = match &fetched {
            Some(Fetched { records, .. }) => {
                Some(Arc::new(Zone::build(&files.origin, records, &owners(&steered)).ok()?))
            }
            None => None,
        };
        let stands_alone = |steered: &Steered| {
            let records = fetched.as_ref().map(|fetched| &fetched.records);
            records
                .is_some_and(|records| records.at_owner(steered.owner.as_wire()).next().is_none())
        };
        Some(Self {
            origin: files.origin.clone(),
            lone: steered.iter().map(stands_alone).collect(),
            zone,
            stale: false,
            expired: false,
            digest: [0; 32],
            primary: files.primary.clone(),
            fetched,
            steered,
            stamps: Vec::new(),
        })
    }

    /// The same without what has expired.
    #[must_use]
    pub fn expire(self) -> Self {
        Self { zone: None, fetched: None, expired: true, ..self }
    }

    /// The records as they were fetched, and when their primary was last heard of.
    pub fn copy(&self) -> Option<(Arc<Records>, u64)> {
        self.fetched.as_ref().map(|fetched| (fetched.records.clone(), fetched.heard))
    }

    /// Whether this tells something about what that primary has.
    fn knows(&self, primary: Option<&Primary>) -> bool {
        primary.is_some()
            && self.primary.as_ref() == primary
            && (self.fetched.is_some() || self.expired)
    }

    /// The same records beside the services of `files`.
    fn beside(&self, files: &ZoneFiles) -> Option<Self> {
        let steered = steered(files);
        if steered == self.steered {
            return Some(self.clone());
        }
        if self.fetched.is_none() {
            let lone = vec![false; steered.len()];
            return Some(Self { lone, steered, ..self.clone() });
        }
        Self::fetched(files, self.fetched.clone())
    }
}

impl Loaded {
    /// The same with another zone at an index, and whether the contests had to be planned anew.
    fn with(&self, at: usize, zone: LoadedZone) -> (Self, bool) {
        let mut zones = self.zones.clone();
        let replan = zones.get(at).is_none_or(|old| old.lone != zone.lone);
        if let Some(place) = zones.get_mut(at) {
            *place = zone;
        }
        let plan = if replan {
            Self::plan(&self.model, &zones, &self.ground, &self.latency.load())
        } else {
            self.plan.clone()
        };
        (Self { zones, plan, ..self.clone() }, replan)
    }

    /// Takes in what became of a zone; `None`: it is of no concern any more. The flag tells whether
    /// the contests were planned anew.
    pub(super) fn take(&self, fetched: FetchedZone) -> Option<(Self, bool)> {
        let (origin, primary) = match &fetched {
            FetchedZone::Fresh(zone) => (&zone.origin, zone.primary.as_ref()?),
            FetchedZone::Expired(origin, primary) => (origin, primary),
        };
        let mut zones = self.model.zones.iter().enumerate();
        let (at, files) = zones.find(|(_, files)| files.origin == *origin)?;
        if files.primary.as_ref() != Some(primary) {
            return None;
        }
        let zone = match fetched {
            FetchedZone::Fresh(zone) => zone.beside(files)?,
            FetchedZone::Expired(..) => self.zones.get(at)?.clone().expire(),
        };
        Some(self.with(at, zone))
    }

    /// Replaces the fetched zones by those of `newer`, where that knows them: what was read from
    /// disk for a reload may have been overtaken meanwhile.
    pub(super) fn keep_fetched(self: Arc<Self>, newer: &Self) -> Arc<Self> {
        let mut kept = self;
        for at in 0..kept.zones.len() {
            let Some(files) = kept.model.zones.get(at) else { continue };
            let own = newer.zones.iter().find(|zone| zone.origin == files.origin);
            let own = own.filter(|zone| zone.knows(files.primary.as_ref()));
            if let Some(zone) = own.and_then(|zone| zone.beside(files)) {
                kept = Arc::new(kept.with(at, zone).0);
            }
        }
        kept
    }
}
