//! The folder of zones: which there are, and the services of each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;

use super::direct;
use super::fleet::{FleetDraft, FleetNames};
use super::keys::Keys;
use super::service::{self, Identity};
use crate::config::defaults as d;
use crate::config::document;
use crate::config::effective::Effective;
use crate::config::files::{Files, Place};
use crate::config::sheet::{Section, Sheet};
use crate::config::spec::{ServiceTable, ZoneFile, ZoneTable};
use crate::config::value::{Fault, word};
use crate::diagnostic::{Diagnostic, Diagnostics, Location, nearest, reason};
use crate::model::{Flattened, PoolId, Primary, Service, ZoneFiles};
use crate::name::Name;

/// The zones of a folder.
#[derive(Default)]
pub(in crate::config) struct ZonesDraft {
    /// By origin.
    pub zones: Vec<ZoneFiles>,
    /// Pools that a service names.
    pub used: BTreeSet<PoolId>,
    /// What is wrong.
    pub findings: Diagnostics,
    /// Values in force.
    pub effective: Option<Vec<Effective>>,
}

/// The two files of one zone.
#[derive(Default)]
struct Pair {
    master: Option<String>,
    services: Option<String>,
}

/// What the zones of a folder refer to.
#[derive(Clone, Copy)]
pub(in crate::config) struct Known<'a> {
    /// The names of the fleet.
    pub names: &'a FleetNames,
    /// The fleet.
    pub fleet: &'a FleetDraft,
    /// The keys.
    pub keys: &'a Keys,
    /// The folder of what must survive a restart.
    pub state: &'a Place,
}

/// What the TOML file of a zone says.
#[derive(Default)]
struct Said {
    services: Vec<Service>,
    primary: Option<Primary>,
    /// Whether the zone has a primary, also one that could not be read.
    fetched: bool,
    /// Whether that may be so, as the table of the zone was lost.
    lenient: bool,
    flattened: Flattened,
}

/// Resolves all zones of `folder`. `effective`: where to collect values in force.
pub(in crate::config) fn resolve(
    folder: &Place,
    known: Known<'_>,
    files: &mut Files,
    effective: Option<Vec<Effective>>,
) -> std::io::Result<ZonesDraft> {
    let mut draft = ZonesDraft { effective, ..ZonesDraft::default() };
    let pairs = pairs(folder, files, &mut draft.findings)?;
    let masters: Vec<String> = pairs.values().filter_map(|pair| pair.master.clone()).collect();
    for (origin, pair) in pairs {
        let said = match &pair.services {
            Some(file) => said(&folder.join(file), &origin, known, files, &mut draft),
            None => Said::default(),
        };
        let place = match &pair.master {
            Some(file) if said.fetched => {
                let what = "this zone has a primary, so that this file would not be read";
                let fault = Diagnostic::error(Location::file(&folder.join(file).shown), what);
                draft.findings.push(fault.hint("take out the file or `[zone.primary]`"));
                None
            }
            Some(file) => {
                let place = folder.join(file);
                files.note(&place);
                Some(place.real)
            }
            None => said.fetched.then(|| known.state.real.join(fetched(&origin))),
        };
        let Said { services, primary, flattened, lenient, .. } = said;
        if let Some(master) = place {
            draft.zones.push(ZoneFiles { origin, master, primary, flattened, services });
        } else if pair.master.is_some() {
            // Reported above.
        } else if lenient {
            // What was lost may have been the primary.
        } else if let Some(file) = &pair.services {
            let wanted = format!("{}.zone", file.trim_end_matches(".toml"));
            let fault = Diagnostic::error(
                Location::file(&folder.join(file).shown),
                format!("there is no `{wanted}` beside it"),
            );
            let near = nearest(&wanted, masters.iter().map(String::as_str));
            draft.findings.push(match near {
                Some(near) => fault.hint(format!("did you mean it for `{near}`?")),
                None => fault.hint("services stand in a zone with SOA and NS"),
            });
        }
    }
    hidden(&draft.zones, folder, &mut draft.findings);
    Ok(draft)
}

/// Where in the state folder a zone with a primary is kept.
fn fetched(origin: &Name) -> String {
    // A label may hold what is no part of a file name (RFC 2181 section 11).
    format!("zones/{}zone", origin.to_string().replace('/', "\\047"))
}

/// The files of the folder by origin.
fn pairs(
    folder: &Place,
    files: &mut Files,
    findings: &mut Diagnostics,
) -> std::io::Result<BTreeMap<Name, Pair>> {
    let mut pairs: BTreeMap<Name, Pair> = BTreeMap::new();
    for file in files.list(folder)? {
        let (stem, is_master) = match (file.strip_suffix(".zone"), file.strip_suffix(".toml")) {
            (Some(stem), _) => (stem, true),
            (None, Some(stem)) => (stem, false),
            (None, None) => {
                let end = Path::new(&file).extension().unwrap_or_default();
                if end.eq_ignore_ascii_case("zone") || end.eq_ignore_ascii_case("toml") {
                    let at = Location::file(&folder.join(&file).shown);
                    let warning = Diagnostic::warning(at, "this file is not read");
                    findings.push(warning.hint("write its ending in lower case"));
                }
                continue;
            }
        };
        // Editors keep half-written copies under such names.
        if stem.is_empty() || stem.starts_with(['.', '#']) {
            continue;
        }
        let at = Location::file(&folder.join(&file).shown);
        let origin = match origin(stem) {
            Ok(origin) => origin,
            Err(Fault { what, hint }) => {
                let hint = hint.or(Some("the file is named after the zone".to_owned()));
                findings.push(Diagnostic::error(at, what).or_hint(hint));
                continue;
            }
        };
        let pair = pairs.entry(origin).or_default();
        let slot = if is_master { &mut pair.master } else { &mut pair.services };
        if let Some(other) = slot {
            let what = format!("`{other}` is for the same zone");
            findings.push(Diagnostic::error(at, what).hint("names of zones do not tell case"));
        } else {
            *slot = Some(file);
        }
    }
    Ok(pairs)
}

/// The zone that a file of this name is for.
fn origin(stem: &str) -> Result<Name, Fault> {
    let fault = |why: &str| Fault::new(format!("`{stem}` is not a domain name: {why}"));
    if !stem.is_ascii() {
        return Err(fault("it holds characters that are not ASCII")
            .hint("write international names in their `xn--` form"));
    }
    let origin = Name::parse(stem, &Name::root()).map_err(|error| fault(&error.to_string()))?;
    if origin.is_root() {
        return Err(fault("a zone has a name of its own, such as `app.example.com`"));
    }
    Ok(origin)
}

/// Reports services whose names lie in a zone below theirs, where nobody asks for them.
fn hidden(zones: &[ZoneFiles], folder: &Place, findings: &mut Diagnostics) {
    for zone in zones {
        let below = |other: &&ZoneFiles| {
            other.origin != zone.origin && other.origin.is_at_or_below(&zone.origin)
        };
        let below: Vec<&ZoneFiles> = zones.iter().filter(below).collect();
        for service in &zone.services {
            let holds = |other: &&&ZoneFiles| service.owner.is_at_or_below(&other.origin);
            let Some(other) = below.iter().find(holds) else { continue };
            let what = format!("service `{}` lies in the zone `{}`", service.name, other.origin);
            let error = Diagnostic::error(service.at.clone(), what);
            let file = other.master.with_extension("toml");
            let file = file.file_name().unwrap_or_default().to_string_lossy();
            let hint = format!("define it in {}", folder.join(&file).shown);
            findings.push(error.hint(hint));
        }
    }
}

/// What one file says.
fn said(
    place: &Place,
    origin: &Name,
    known: Known<'_>,
    files: &mut Files,
    draft: &mut ZonesDraft,
) -> Said {
    let source = match files.read(place) {
        Ok(source) => source,
        Err(error) => {
            draft.findings.push(error);
            return Said::default();
        }
    };
    let (spec, mut sheet): (ZoneFile, Sheet) = document::read(source, draft.effective.take());
    let mut top = sheet.top();
    super::version(&mut top, &spec.version);
    let mut said = whole(&mut top, &spec, known.keys);
    said.lenient = top.sheet.lost_table("zone");
    said.services = services(&mut top, &spec, origin, known);
    draft.used.extend(said.services.iter().flat_map(|service| service.pools.iter().copied()));
    draft.effective = sheet.effective.take();
    draft.findings.extend(sheet.findings);
    said
}

/// `[zone]`: where it comes from and how it goes on.
fn whole(top: &mut Section<'_>, spec: &ZoneFile, keys: &Keys) -> Said {
    let empty = ZoneTable::default();
    let header = spec.zone.as_ref().map(toml::Spanned::span).unwrap_or_default();
    let zone = spec.zone.as_ref().map_or(&empty, |table| &table.get_ref().0);
    let mut said = Said::default();
    let mut section = top.inside("zone", header.clone());
    if let Some(table) = &zone.transfer {
        let words = [("default", Flattened::Default), ("omit", Flattened::Omit)];
        let mut section = section.inside("transfer", table.span());
        let steered = &table.get_ref().0.steered;
        said.flattened = section.value("steered", steered, d::STEERED, word("steered", &words));
    } else {
        section.inside("transfer", header).default("steered", d::STEERED.written);
    }
    if let Some(table) = &zone.primary {
        let mut section = section.inside("primary", table.span());
        let table = &table.get_ref().0;
        if table.address.is_none() {
            section.missing("address");
        }
        let address = section.server("address", table.address.as_ref(), 53);
        let key = section.key(&table.key, keys);
        said.primary = address.map(|address| Primary { address, key });
        said.fetched = true;
    }
    said
}

/// The services of one file, by owner.
fn services(
    top: &mut Section<'_>,
    spec: &ZoneFile,
    origin: &Name,
    known: Known<'_>,
) -> Vec<Service> {
    let mut ordered: Vec<_> = spec.service.iter().collect();
    ordered.sort_by_key(|(name, _)| name.span().start);
    let mut owners: HashMap<Name, Range<usize>> = HashMap::new();
    let (mut services, mut direct) = (Vec::new(), Vec::new());
    for (key, table) in ordered {
        if top.sheet.is_full() {
            break;
        }
        let Some(owner) = top.read_owner(key.get_ref(), key.span(), origin) else { continue };
        if let Some(fault) = repeats(key.get_ref(), &owner, origin) {
            top.warn(key.span(), fault);
        }
        let at = top.locate(key.span());
        if let Some(before) = owners.insert(owner.clone(), key.span()) {
            let before = top.locate(before).line;
            let fault = Fault::new(format!("service `{}` is defined twice", key.get_ref()));
            let hint = format!("first in line {before}; names do not tell case");
            top.error(key.span(), fault.hint(hint));
        }
        let mut section = top.named("service", key.get_ref(), table.span());
        let identity = Identity { name: key.get_ref().clone(), owner, origin: origin.clone(), at };
        let table: &ServiceTable = &table.get_ref().0;
        let service = service::resolve(&mut section, identity, table, known.names, known.fleet);
        let read = direct::read(&mut section, table, &service);
        direct.extend(read.map(|read| (services.len(), read)));
        services.push(service);
    }
    for (at, read) in direct {
        let Some(service) = services.get(at) else { continue };
        let names = direct::names(top, &read, service, &owners, known.fleet);
        // Two services of one file may not meet in a direct name either.
        owners.extend(names.iter().map(|service| (service.owner.clone(), read.place())));
        services.extend(names);
    }
    services.sort_by(|a, b| a.owner.cmp(&b.owner));
    services
}

impl Section<'_> {
    /// The owner name of a service, relative to the origin; reported when it is none.
    fn read_owner(&mut self, text: &str, span: Range<usize>, origin: &Name) -> Option<Name> {
        match owner(text, origin) {
            Ok(owner) => Some(owner),
            Err(fault) => {
                self.error(span, fault);
                None
            }
        }
    }
}

/// Whether the name of a service repeats the zone's, as one written in full would.
fn repeats(text: &str, owner: &Name, origin: &Name) -> Option<Fault> {
    let name = origin.to_string();
    let start = text.to_ascii_lowercase();
    let start = start.strip_suffix(name.trim_end_matches('.'))?;
    let meant = if start.is_empty() { "@" } else { start.strip_suffix('.')? };
    let fault = Fault::new(format!("service `{text}` is at `{owner}`"));
    Some(fault.hint(format!("names are relative to the zone; write `{meant}`")))
}

/// The owner name of a service: below the origin, `@` for the apex, `*` as first label only.
fn owner(text: &str, origin: &Name) -> Result<Name, Fault> {
    let fault = |why: &str| Fault::new(format!("`{text}` is not an owner name: {why}"));
    if text.ends_with('.') {
        let relative = text.trim_end_matches('.');
        let suffix = origin.to_string();
        let inside = relative.strip_suffix(suffix.trim_end_matches('.'));
        let meant = inside.map(|label| label.trim_end_matches('.')).filter(|l| !l.is_empty());
        let fault = fault("it is absolute");
        return Err(match meant {
            Some(meant) => fault.hint(format!("write `{meant}`")),
            None => fault.hint(format!("names are below `{suffix}`, `@` is the apex")),
        });
    }
    if text.is_empty() {
        return Err(fault("it is empty").hint("`@` is the apex of the zone"));
    }
    let owner = Name::parse(text, origin).map_err(|error| fault(&error.to_string()))?;
    let below = owner.labels().count() - origin.labels().count();
    for (index, label) in owner.labels().take(below).enumerate() {
        // RFC 4592 section 2.1.1: only a first label that is `*` alone makes a wildcard.
        if label.contains(&b'*') && (index > 0 || label != b"*") {
            return Err(fault("`*` stands alone as the first label"));
        }
        let plain = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_*".contains(octet);
        if !label.iter().all(plain) {
            return Err(fault("expected letters, digits, `-` and `_`"));
        }
    }
    Ok(owner)
}

/// What to say of a folder of zones that cannot be used.
pub(in crate::config) fn unusable(folder: &Place, error: Option<&std::io::Error>) -> Fault {
    match error {
        Some(error) => {
            let why = reason(error).replace("file", "folder");
            Fault::new(format!("the zones in `{}` cannot be read: {why}", folder.shown))
        }
        None => Fault::new(format!("there is no .zone file in `{}`", folder.shown)).hint(
            "a node with [dns] answers for at least one zone, such as `app.example.com.zone`",
        ),
    }
}
