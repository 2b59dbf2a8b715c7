//! The configuration: files become specs, specs become a [`Model`] that is valid by construction.
//!
//! One run finds all mistakes of all files. Each file is parsed, what is wrong in form is reported
//! and cut out (`document`), the rest becomes a spec (`spec`) and then part of the model
//! (`resolve`). A model comes out only when nothing is wrong at all.

#![allow(clippy::ref_option, reason = "fields of a spec are handed on as they stand")]

mod defaults;
mod document;
mod effective;
mod files;
mod names;
mod resolve;
mod sheet;
mod spec;
mod syntax;
mod tree;
mod value;
mod wording;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Diagnostics, Location, reason};
use crate::model::{ClientCertificate, Cluster, Drill, Model, Node, PoolId, Token};
use files::{Files, Place};
use resolve::{
    FleetDraft, FleetNames, Keys, Known, NodeDraft, resolve_drill, resolve_fleet, resolve_keys,
    resolve_node, resolve_tokens, resolve_zones, unanswered,
};
use serde::de::DeserializeOwned;
use sheet::Sheet;
use spec::{DrillFile, FleetFile, KeysFile, NodeFile, TokensFile};
use value::Fault;

pub use effective::{Effective, Origin};

/// What came of reading a configuration.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; `Some` exactly when no diagnostic is an error.
    pub model: Option<Model>,
    /// All mistakes and warnings.
    pub diagnostics: Diagnostics,
    /// Every file the configuration consists of, found or not: node.toml, fleet.toml, zone files,
    /// network lists and geo databases. A change of any of them is a reason to read it again.
    pub files: Vec<PathBuf>,
    /// Folders in which a new or removed file is a reason as well.
    pub folders: Vec<PathBuf>,
    /// SHA-256 of what all nodes of a fleet share, master files and databases aside: equal where
    /// fleet.toml, network lists and zones/NAME.toml are.
    pub digest: [u8; 32],
}

/// Reads the configuration in `dir`.
pub fn load(dir: &Path) -> Loaded {
    read(dir, None).0
}

/// Reads the configuration in `dir`, and lists every value in force in the order of the files.
pub fn effective(dir: &Path) -> (Loaded, Vec<Effective>) {
    read(dir, Some(Vec::new()))
}

/// Reads a drill file at `unix_now`.
///
/// # Errors
/// All its mistakes.
pub fn drill(path: &Path, unix_now: u64) -> Result<Drill, Diagnostics> {
    let (spec, mut sheet) = match Files::default().read(&Place::new(path)) {
        Ok(source) => document::read::<DrillFile>(source, None),
        Err(error) => (DrillFile::default(), Sheet::unreadable(&path.display().to_string(), error)),
    };
    let drill = resolve_drill(&spec, &mut sheet, unix_now);
    drill.filter(|_| !sheet.findings.has_errors()).ok_or(sheet.findings)
}

/// A duration as every file writes it, such as `30m`; the text says what is wrong.
pub fn duration(text: &str) -> Result<Duration, String> {
    value::duration(text).map_err(|fault| match fault.hint {
        Some(hint) => format!("{} ({hint})", fault.what),
        None => fault.what,
    })
}

fn read(dir: &Path, effective: Option<Vec<Effective>>) -> (Loaded, Vec<Effective>) {
    let folder = Place::new(dir);
    if let Some(error) = no_folder(&folder) {
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(error);
        let files = vec![dir.join("node.toml"), dir.join("fleet.toml")];
        let folders = vec![folder.real];
        let digest = [0; 32];
        return (Loaded { model: None, diagnostics, files, folders, digest }, Vec::new());
    }
    let mut files = Files { folders: vec![folder.real.clone()], ..Files::default() };
    let (node_spec, mut node_sheet) =
        document::<NodeFile>(&mut files, &folder.join("node.toml"), effective);
    files.sums.clear();
    let (fleet_spec, mut fleet_sheet) = document::<FleetFile>(
        &mut files,
        &folder.join("fleet.toml"),
        node_sheet.effective.as_ref().map(|_| Vec::new()),
    );
    let mut shared = std::mem::take(&mut files.sums);
    let names = FleetNames::of(&fleet_spec, &mut fleet_sheet);
    let (keys, keys_sheet) = keys(&folder, &mut files, node_sheet.effective.is_some());
    let (tokens, tokens_sheet) =
        tokens(&node_spec, &folder, &mut files, node_sheet.effective.is_some());
    let access = (&keys, tokens);
    let node = resolve_node(&node_spec, &mut node_sheet, &folder, &names, access, &mut files);
    files.sums.clear();
    let shares = node.node.as_ref().is_some_and(|node| node.cluster != Cluster::Embedded);
    let role = (node.probe.as_ref(), shares);
    let fleet = resolve_fleet(&fleet_spec, &mut fleet_sheet, &names, role, &folder, &mut files);
    let known = Known { names: &names, fleet: &fleet, keys: &keys, state: &node.state };
    let zones = zones(&node, &mut node_sheet, known, &mut files);
    shared.append(&mut files.sums);
    let sound = !zones.findings.has_errors() && !fleet_sheet.findings.has_errors();
    if node.dns && sound && !zones.zones.is_empty() {
        let relayed = node.node.as_ref().map(Node::relayed).unwrap_or_default();
        unused_pools(&fleet_spec, &mut fleet_sheet, &fleet, &zones, &relayed);
    }
    unanswered(&node.by_zone, &mut node_sheet, &zones);
    unjudged(&node, shares, &mut node_sheet, &fleet);
    if let Some(at) = &node.proxy_at
        && fleet_spec.route.is_none()
        && !fleet_sheet.lost_table("route")
    {
        let fault = Fault::new("this node proxies, but there is no route");
        node_sheet.warn(at.clone(), fault.hint("add a `[[route]]` to fleet.toml"));
    }
    unvouched(&node, &mut node_sheet, &fleet);
    hurried(&node, &mut node_sheet, &fleet);
    let mut diagnostics = Diagnostics::default();
    let mut effective = Vec::new();
    for sheet in [node_sheet, fleet_sheet].into_iter().chain(keys_sheet).chain(tokens_sheet) {
        diagnostics.extend(sheet.findings);
        effective.extend(sheet.effective.unwrap_or_default());
    }
    diagnostics.extend(zones.findings);
    effective.extend(zones.effective.unwrap_or_default());
    let model = if diagnostics.has_errors() {
        None
    } else {
        node.node.zip(fleet.finish()).map(|(node, fleet)| Model { node, fleet, zones: zones.zones })
    };
    let Files { used, folders, .. } = files;
    let files = used.into_iter().collect();
    (Loaded { model, diagnostics, files, folders, digest: digest(shared) }, effective)
}

/// One digest of files by name, in whatever order they were read.
fn digest(mut files: Vec<(String, [u8; 32])>) -> [u8; 32] {
    files.sort();
    let mut text = Vec::new();
    for (name, sum) in files {
        text.extend_from_slice(&(name.len() as u64).to_be_bytes());
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(&sum);
    }
    files::sha256(&text)
}

/// What is wrong when the folder is none: said once, not for each file in it.
fn no_folder(folder: &Place) -> Option<Diagnostic> {
    let what = match std::fs::metadata(&folder.real) {
        Ok(found) if found.is_dir() => return None,
        Ok(_) => "it is a file, not a folder".to_owned(),
        Err(error) => reason(&error).replace("file", "folder"),
    };
    let error = Diagnostic::error(Location::file(&folder.shown), what);
    Some(error.hint(
        "`--config` takes the folder of node.toml and fleet.toml; `meridian init DIR` writes one \
         into DIR/config",
    ))
}

/// Reads one of the two files that must be there.
fn document<T: DeserializeOwned + Default>(
    files: &mut Files,
    place: &Place,
    effective: Option<Vec<Effective>>,
) -> (T, Sheet) {
    match files.read(place) {
        Ok(source) => document::read(source, effective),
        Err(error) => {
            let missing = error.at.line == 0;
            let error =
                if missing { error.hint("`meridian init DIR` writes a valid one") } else { error };
            let sheet = Sheet::unreadable(&place.shown, error);
            (T::default(), Sheet { effective, ..sheet })
        }
    }
}

/// The keys of keys.toml, which need not be there.
fn keys(folder: &Place, files: &mut Files, effective: bool) -> (Keys, Option<Sheet>) {
    let place = folder.join("keys.toml");
    let absent = std::fs::symlink_metadata(&place.real)
        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    if absent {
        // One that is written later must be noticed.
        files.note(&place);
        return (Keys::default(), None);
    }
    let effective = effective.then(Vec::new);
    let (spec, mut sheet) = document::<KeysFile>(files, &place, effective);
    let keys = resolve_keys(&spec, &mut sheet, folder, files);
    (keys, Some(sheet))
}

/// The tokens of the file that `[admin]` names; `None`: it names none.
fn tokens(
    node: &NodeFile,
    folder: &Place,
    files: &mut Files,
    effective: bool,
) -> (Option<Vec<Token>>, Option<Sheet>) {
    let admin = node.admin.as_ref().map(|table| &table.get_ref().0);
    let Some(named) = admin.and_then(|admin| admin.tokens.as_ref()) else { return (None, None) };
    let place = folder.join(named.get_ref());
    let effective = effective.then(Vec::new);
    let (spec, mut sheet) = match files.read(&place) {
        Ok(source) => document::read::<TokensFile>(source, effective),
        Err(error) => {
            let error = error.hint("`meridian admin token` makes what belongs in it");
            let sheet = Sheet::unreadable(&place.shown, error);
            (TokensFile::default(), Sheet { effective, ..sheet })
        }
    };
    (Some(resolve_tokens(&spec, &mut sheet)), Some(sheet))
}

/// The zones of the node's folder.
fn zones(
    node: &NodeDraft,
    sheet: &mut Sheet,
    known: Known<'_>,
    files: &mut Files,
) -> resolve::ZonesDraft {
    let (folder, written) = &node.zones;
    let effective = sheet.effective.as_ref().map(|_| Vec::new());
    let read = resolve_zones(folder, known, files, effective);
    let fault = match &read {
        Ok(draft) if draft.zones.is_empty() && draft.findings.counts().0 == 0 => {
            Some(resolve::unusable(folder, None))
        }
        Ok(_) => None,
        Err(error) => Some(resolve::unusable(folder, Some(error))),
    };
    // A node that answers no DNS needs no zones.
    if let Some(fault) = fault.filter(|_| node.dns) {
        match written {
            Some(span) => sheet.error(span.clone(), fault),
            None => sheet.error(node.dns_at.clone(), fault),
        }
    }
    read.unwrap_or_default()
}

/// Warns of a proxy whose routes ask for certificates that its listeners do not.
fn unvouched(node: &NodeDraft, sheet: &mut Sheet, fleet: &FleetDraft) {
    if let (Some(at), Some(Node { proxy: Some(proxy), .. })) = (&node.proxy_at, &node.node)
        && proxy.client_ca.is_none()
        && fleet.routes.iter().any(|route| route.client_certificate != ClientCertificate::Off)
    {
        let fault = Fault::new("routes ask for certificates of clients that nobody vouches for");
        sheet.warn(at.clone(), fault.hint("add `client_ca` to [proxy]"));
    }
}

/// Warns of a proxy that ends sooner than its requests may.
fn hurried(node: &NodeDraft, sheet: &mut Sheet, fleet: &FleetDraft) {
    let forwarding = fleet.routes.iter().filter(|route| route.pool().is_some());
    let slowest = forwarding.max_by_key(|route| route.timeouts.request);
    if let (Some(at), Some(Node { proxy: Some(proxy), .. })) = (&node.proxy_at, &node.node)
        && let Some(route) = slowest.filter(|route| proxy.drain < route.timeouts.request)
    {
        let [drain, request] = [proxy.drain, route.timeouts.request].map(value::written);
        let name = &route.name;
        let what = format!("drain {drain} is shorter than request {request} of route `{name}`");
        let hint = "requests that are under way when the node stops may be cut off";
        sheet.warn(at.clone(), Fault::new(what).hint(hint));
    }
}

/// Warns of pools that no service names.
fn unused_pools(
    spec: &FleetFile,
    sheet: &mut Sheet,
    fleet: &FleetDraft,
    zones: &resolve::ZonesDraft,
    relayed: &[PoolId],
) {
    for (index, (name, _)) in spec.pool.iter().enumerate() {
        let id = PoolId(index as u16);
        let routed = fleet.routes.iter().any(|route| route.pool() == Some(id));
        if !routed && !relayed.contains(&id) && !zones.used.contains(&id) {
            let fault = Fault::new(format!("pool `{}` is used by no service", name.get_ref()));
            sheet.warn(name.span(), fault);
        }
    }
}

/// Warns of a node that answers from monitored pools and never probes.
fn unjudged(node: &NodeDraft, shares: bool, sheet: &mut Sheet, fleet: &FleetDraft) {
    let monitored = fleet.pools.iter().flatten().any(|pool| !pool.monitors.is_empty());
    if node.dns && node.probe.is_none() && !shares && monitored && !sheet.lost_table("probe") {
        let fault = Fault::new("this node answers from monitored pools, but does not probe");
        let hint = "add [probe], or a bus in [cluster]; without them nothing is ever taken down";
        sheet.warn(node.dns_at.clone(), fault.hint(hint));
    }
}
