//! From files to what a snapshot is made of: configuration, zones, geography, plan.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Fingerprint;
use super::fetched::{self, Fetched};
use super::plan::Plan;
use crate::config;
use crate::diagnostic::{Diagnostic, Diagnostics, Location, Severity};
use crate::geo::{Databases, GeoError, Ground};
use crate::latency::Estimates;
use crate::model::{CookieSecret, Model, Primary, Service, ZoneFiles};
use crate::name::Name;
use crate::zone::{self, Steered, SteeredOwner, Zone};

/// Everything that the files say, checked and compiled; independent of health.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub model: Arc<Model>,
    /// The zones, in the order of [`Model::zones`].
    pub zones: Vec<LoadedZone>,
    /// The geo databases, for `explain` and their age.
    pub databases: Arc<Databases>,
    /// Where all clients are.
    pub ground: Arc<Ground>,
    /// The contests of all services.
    pub plan: Plan,
    /// What is known of round trips, now and after reloads.
    pub latency: Arc<ArcSwap<Estimates>>,
    /// What DNS cookies are made with where the configuration has no secret: random, and the same
    /// for the life of the process. `None`: the system has no random numbers.
    pub cookie_secret: Option<CookieSecret>,
    /// What all nodes of a fleet share, in one number.
    pub fingerprint: Fingerprint,
    /// Warnings, and the errors of zones that serve their last good data or fail.
    pub diagnostics: Diagnostics,
    /// Every file that was read, to be watched.
    pub files: Vec<PathBuf>,
    /// Folders in which a new or removed file matters.
    pub folders: Vec<PathBuf>,
    pub(super) geo_stamps: Vec<Option<Stamp>>,
}

/// One zone as far as it could be read.
#[derive(Clone, Debug)]
pub struct LoadedZone {
    /// The apex.
    pub origin: Name,
    /// The tree; `None`: never read without errors.
    pub zone: Option<Arc<Zone>>,
    /// Whether `zone` is of an earlier load, because the files have errors now.
    pub stale: bool,
    /// Whether its primary was not heard of for so long that it must not be served.
    pub expired: bool,
    /// Digest of its records; zeros when it was never read, and when it is fetched.
    pub(super) digest: [u8; 32],
    /// Where it is fetched; `None`: it has a master file.
    pub(super) primary: Option<Primary>,
    /// What was fetched.
    pub(super) fetched: Option<Fetched>,
    /// Per service, whether its owner has no static records.
    pub(super) lone: Vec<bool>,
    /// What the services answer, as `zone` numbers them.
    pub(super) steered: Vec<Steered>,
    /// The files of the zone with their stamps; empty when they have errors, and when it is
    /// fetched.
    pub(super) stamps: Vec<(PathBuf, Option<Stamp>)>,
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified_ns: i128,
    length: u64,
    inode: u64,
}

/// Timestamps of files advance in steps of a clock tick; a file younger than this may change again
/// without a new timestamp and is always read.
const SETTLED_NS: i128 = 2_000_000_000;

impl Stamp {
    /// The stamp of a file that has not changed lately.
    fn of(path: &Path) -> Option<Self> {
        let data = fs::metadata(path).ok()?;
        let modified_ns = i128::from(data.mtime()) * 1_000_000_000 + i128::from(data.mtime_nsec());
        let now_ns = i128::from(crate::clock::unix_seconds()) * 1_000_000_000;
        let settled = now_ns - modified_ns > SETTLED_NS;
        settled.then_some(Self { modified_ns, length: data.len(), inode: data.ino() })
    }
}

/// Reads everything below the configuration folder `dir`. What has not changed since `previous` is
/// taken from there.
///
/// # Errors
/// All mistakes, when the configuration or the geo databases cannot be used. A broken master file
/// is no such mistake: its zone keeps the data of `previous`, or fails alone.
pub fn load(dir: &Path, previous: Option<&Loaded>) -> Result<Loaded, Diagnostics> {
    let config::Loaded { model, mut diagnostics, mut files, folders, digest } = config::load(dir);
    let Some(model) = model else {
        master_files(&files, &mut diagnostics);
        // A running node has read them before, and large ones take seconds.
        if previous.is_none() {
            geo_files(&files, &mut diagnostics);
        }
        return Err(diagnostics);
    };
    let geo_stamps: Vec<_> = model.node.geo.databases.iter().map(|path| Stamp::of(path)).collect();
    let (databases, ground) = geography(&model, &geo_stamps, previous, &mut diagnostics);
    let zones: Vec<LoadedZone> = model
        .zones
        .iter()
        .map(|files| load_zone(files, previous, &mut diagnostics))
        .collect::<Option<_>>()
        .unwrap_or_default();
    let (Some(databases), Some(ground)) = (databases, ground) else { return Err(diagnostics) };
    if zones.len() != model.zones.len() {
        return Err(diagnostics);
    }
    warn_of_old_databases(&model, &databases, &mut diagnostics);
    let latency = previous.map(|previous| previous.latency.clone()).unwrap_or_default();
    let plan = Loaded::plan(&model, &zones, &ground, &latency.load());
    files.extend(zones.iter().flat_map(|zone| zone.stamps.iter().map(|(path, _)| path.clone())));
    files.sort();
    files.dedup();
    Ok(Loaded {
        fingerprint: Fingerprint::of(digest, &zones),
        model: Arc::new(model),
        zones,
        databases,
        ground,
        plan,
        latency,
        cookie_secret: previous.map_or_else(random_secret, |previous| previous.cookie_secret),
        diagnostics,
        files,
        folders,
        geo_stamps,
    })
}

fn random_secret() -> Option<CookieSecret> {
    let mut secret = CookieSecret([0; 16]);
    let provider = rustls::crypto::ring::default_provider();
    provider.secure_random.fill(&mut secret.0).ok().map(|()| secret)
}

impl Loaded {
    /// The contests of all services.
    pub(super) fn plan(
        model: &Model,
        zones: &[LoadedZone],
        ground: &Ground,
        estimates: &Estimates,
    ) -> Plan {
        let services = model.zones.iter().map(|zone| zone.services.as_slice());
        Plan::new(services, &model.fleet, (ground, estimates), |zone, service| {
            let zone = zones.get(zone);
            let at =
                zone.and_then(|zone| zone.steered.iter().position(|s| s.owner == service.owner));
            let lone = at.and_then(|at| zone.and_then(|zone| zone.lone.get(at)));
            lone.copied().unwrap_or(false)
        })
    }
}

/// Adds the mistakes of the master files when the configuration itself has some, so that one run
/// shows all. Warnings are left out: without the services many would be wrong.
fn master_files(files: &[PathBuf], diagnostics: &mut Diagnostics) {
    let masters = files.iter().filter(|path| path.extension().is_some_and(|end| end == "zone"));
    for path in masters {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let Ok(origin) = Name::parse(stem, &Name::root()) else { continue };
        let (_, _, found) = zone::load(&origin, path, &shown(path), &[]);
        let errors = found.sorted().into_iter().filter(|found| found.severity == Severity::Error);
        errors.cloned().for_each(|error| diagnostics.push(error));
    }
}

/// Adds the mistakes of the geo databases, likewise.
fn geo_files(files: &[PathBuf], diagnostics: &mut Diagnostics) {
    let databases = files.iter().filter(|path| path.extension().is_some_and(|end| end == "mmdb"));
    // Those that are missing are reported where they are named.
    let databases: Vec<PathBuf> = databases.filter(|path| path.is_file()).cloned().collect();
    if databases.is_empty() {
        return;
    }
    if let Err(errors) = Databases::load(&databases) {
        for error in &errors {
            diagnostics.push(unusable(error));
        }
    }
}

fn unusable(error: &GeoError) -> Diagnostic {
    let at = Location::file(&shown(Path::new(error.file())));
    Diagnostic::error(at, error.what())
        .hint("restore the database; what was loaded before serves on")
}

/// A path as an operator would write it: `config/../zones` is `zones`.
pub(super) fn shown(path: &Path) -> String {
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (Component::ParentDir, Some(Component::Normal(_))) => drop(parts.pop()),
            (Component::CurDir, _) => {}
            _ => parts.push(part),
        }
    }
    parts.iter().collect::<PathBuf>().display().to_string()
}

/// The databases and the ground compiled from them, or those of `previous` when neither databases
/// nor networks changed.
fn geography(
    model: &Model,
    stamps: &[Option<Stamp>],
    previous: Option<&Loaded>,
    diagnostics: &mut Diagnostics,
) -> (Option<Arc<Databases>>, Option<Arc<Ground>>) {
    let geo = &model.node.geo;
    let unchanged = previous.filter(|previous| {
        previous.model.node.geo.databases == geo.databases
            && previous.geo_stamps == stamps
            && stamps.iter().all(Option::is_some)
    });
    let databases = match unchanged {
        Some(previous) => previous.databases.clone(),
        None => match Databases::load(&geo.databases) {
            Ok(databases) => Arc::new(databases),
            Err(errors) => {
                for error in &errors {
                    diagnostics.push(unusable(error));
                }
                return (None, None);
            }
        },
    };
    let same_networks = |previous: &&Loaded| previous.model.fleet.networks == model.fleet.networks;
    let ground = match unchanged.filter(same_networks) {
        Some(previous) => previous.ground.clone(),
        None => Arc::new(Ground::new(&databases, &model.fleet.networks)),
    };
    (Some(databases), Some(ground))
}

fn warn_of_old_databases(model: &Model, databases: &Databases, diagnostics: &mut Diagnostics) {
    let now = crate::clock::unix_seconds();
    for database in databases.all() {
        let age_days = now.saturating_sub(database.built()) / 86_400;
        let allowed_days = model.node.geo.max_age.as_secs() / 86_400;
        // The embedded database ages with the binary; a fresh install should not begin with a
        // warning about it.
        if age_days > allowed_days && !model.node.geo.databases.is_empty() {
            let what =
                format!("the geo database is {age_days} days old, `max_age` is {allowed_days}");
            let at = Location::file(&shown(Path::new(database.file())));
            let warning = Diagnostic::warning(at, what);
            diagnostics.push(warning.hint("replace the file; it is read again when it changes"));
        }
    }
}

/// What the services of a zone answer.
pub(super) fn steered(files: &ZoneFiles) -> Vec<Steered> {
    let steered = |service: &Service| {
        let (owner, https) = (service.owner.clone(), service.https.is_some());
        Steered { owner, https }
    };
    files.services.iter().map(steered).collect()
}

/// Their owners, with the numbers of the services.
pub(super) fn owners(steered: &[Steered]) -> Vec<SteeredOwner<'_>> {
    let all = (0..).zip(steered);
    all.map(|(service, steered)| SteeredOwner { owner: &steered.owner, service }).collect()
}

/// Reads a zone; `None` when its services changed while its master file cannot be used: then
/// nothing of the load may be used.
fn load_zone(
    files: &ZoneFiles,
    previous: Option<&Loaded>,
    diagnostics: &mut Diagnostics,
) -> Option<LoadedZone> {
    let steered = steered(files);
    let before = previous.and_then(|p| p.zones.iter().find(|zone| zone.origin == files.origin));
    if files.primary.is_some() {
        return fetched::load(files, before, diagnostics);
    }
    let before = before.filter(|before| before.primary.is_none());
    if let Some(before) = before.filter(|before| before.is_unchanged(&steered)) {
        return Some(before.clone());
    }
    let shown = shown(&files.master);
    let (records, read, found) = zone::load(&files.origin, &files.master, &shown, &steered);
    let stamps: Vec<_> = read.paths().map(|path| (path.to_owned(), Stamp::of(path))).collect();
    let broken = found.has_errors();
    diagnostics.extend(found);
    if broken {
        return broken_zone(files, steered, before, stamps, diagnostics);
    }
    let stands_alone = |owner: &Name| records.at_owner(owner.as_wire()).next().is_none();
    let lone = steered.iter().map(|steered| stands_alone(&steered.owner)).collect();
    let zone = match Zone::build(&files.origin, &records, &owners(&steered)) {
        Ok(zone) => Arc::new(zone),
        Err(error) => {
            diagnostics.push(Diagnostic::error(Location::file(&shown), error.to_string()));
            return broken_zone(files, steered, before, stamps, diagnostics);
        }
    };
    let origin = files.origin.clone();
    let loaded = LoadedZone::of(origin, steered, stamps);
    let digest = records.digest();
    Some(LoadedZone { zone: Some(zone), lone, digest, ..loaded })
}

/// A zone whose master file has errors: its last good data, or nothing.
fn broken_zone(
    files: &ZoneFiles,
    steered: Vec<Steered>,
    before: Option<&LoadedZone>,
    stamps: Vec<(PathBuf, Option<Stamp>)>,
    diagnostics: &mut Diagnostics,
) -> Option<LoadedZone> {
    let stamps = stamps.into_iter().map(|(path, _)| (path, None)).collect();
    match before {
        Some(before) if before.zone.is_some() && before.steered != steered => {
            let at = Location::file(&shown(&files.master));
            let what = "the steered names of a zone changed while its master file has errors";
            diagnostics.push(Diagnostic::error(at, what).hint("correct the master file first"));
            None
        }
        Some(before) if before.zone.is_some() => {
            Some(LoadedZone { stale: true, stamps, ..before.clone() })
        }
        _ => Some(LoadedZone::of(files.origin.clone(), steered, stamps)),
    }
}

impl LoadedZone {
    /// A zone that has a master file and could not be read yet.
    fn of(origin: Name, steered: Vec<Steered>, stamps: Vec<(PathBuf, Option<Stamp>)>) -> Self {
        let (lone, zone, primary, fetched) = (vec![false; steered.len()], None, None, None);
        let (stale, expired, digest) = (false, false, [0; 32]);
        Self { origin, zone, stale, expired, digest, primary, fetched, lone, steered, stamps }
    }

    fn is_unchanged(&self, steered: &[Steered]) -> bool {
        let settled =
            |(path, stamp): &(PathBuf, Option<Stamp>)| stamp.is_some() && *stamp == Stamp::of(path);
        self.zone.is_some()
            && self.steered == steered
            && !self.stamps.is_empty()
            && self.stamps.iter().all(settled)
    }
}
