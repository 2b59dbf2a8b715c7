//! Operator networks, and the prefix files they name.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;

use super::fleet::country;
use crate::config::defaults as d;
use crate::config::files::{Files, Place};
use crate::config::names::Names;
use crate::config::sheet::Section;
use crate::config::spec::{Named, NetworkTable};
use crate::config::value::{Fault, prefix, whole_in};
use crate::diagnostic::{Diagnostic, Source};
use crate::model::{Network, RegionId};
use crate::place::Country;
use crate::prefix::Prefix;

/// Mistakes shown of one prefix file; a file of another kind would give one a line.
const FILE_MISTAKES_MAX: usize = 100;

/// What each network has claimed; a client must not be in two by the same token.
#[derive(Default)]
struct Claims {
    prefixes: HashMap<Prefix, String>,
    asns: HashMap<u32, String>,
    countries: HashMap<Country, String>,
}

/// Resolves all networks; `folder` is where fleet.toml is.
pub(super) fn resolve(
    top: &mut Section<'_>,
    tables: &Named<NetworkTable>,
    regions: &Names<RegionId>,
    folder: &Place,
    files: &mut Files,
) -> Vec<Network> {
    let mut claims = Claims::default();
    let mut networks = Vec::new();
    for (name, table) in tables {
        let mut section = top.named("network", name.get_ref(), table.span());
        let table = &table.get_ref().0;
        let mut network = network(&mut section, name.get_ref(), table, regions, &mut claims);
        if let Some(field) = &table.file
            && let Some(source) = section.file("file", field, folder, files)
        {
            lines(&mut section, &source, &mut network, &mut claims);
        }
        // Listed in the file as well is no mistake, only once too often.
        network.prefixes.sort_unstable();
        network.prefixes.dedup();
        networks.push(network);
    }
    networks
}

fn network(
    section: &mut Section<'_>,
    name: &str,
    table: &NetworkTable,
    regions: &Names<RegionId>,
    claims: &mut Claims,
) -> Network {
    let Claims { prefixes, asns, countries } = claims;
    let prefixes = section
        .list("prefixes", &table.prefixes, |text| claim(name, prefix(text)?, prefixes).map(Some));
    let number = whole_in("asn", &d::ASN_RANGE);
    let asns = section.list("asns", &table.asns, |asn| claim(name, number(asn)?, asns).map(Some));
    let countries = section.list("countries", &table.countries, |text| {
        claim(name, country(text)?, countries).map(Some)
    });
    let silent = [&table.prefixes, &table.countries].iter().all(|list| list.is_none());
    if silent && table.asns.is_none() && table.file.is_none() {
        let fault = Fault::new(format!("network `{name}` holds no clients"));
        section.lacks("prefixes", fault.hint("add `prefixes`, `asns`, `countries` or `file`"));
    }
    if table.regions.is_none() {
        section.missing("regions");
    }
    let fault = Fault::new("`regions` is empty").hint("these clients need a preferred region");
    section.not_empty(&table.regions, fault);
    let regions = section.list("regions", &table.regions, |text| regions.find(text));
    Network { name: name.to_owned(), prefixes, asns, countries, regions }
}

/// Claims a token, unless another network has it already.
fn claim<U: Clone + Eq + Hash + Display>(
    name: &str,
    token: U,
    claims: &mut HashMap<U, String>,
) -> Result<U, Fault> {
    match claims.get(&token) {
        Some(other) if other != name => Err(taken(&token, other)),
        Some(_) => Ok(token),
        None => {
            claims.insert(token.clone(), name.to_owned());
            Ok(token)
        }
    }
}

fn taken(value: &impl Display, other: &str) -> Fault {
    Fault::new(format!("`{value}` is in network `{other}` as well"))
        .hint("a client is in one network; split the prefix, or keep one of them")
}

/// Reads one prefix a line; `#` starts a comment.
fn lines(section: &mut Section<'_>, source: &Source, network: &mut Network, claims: &mut Claims) {
    let (mut offset, mut mistakes) = (0, 0);
    for line in source.text().split_inclusive('\n') {
        let content = line.split('#').next().unwrap_or_default();
        let text = content.trim();
        let start = offset + (content.len() - content.trim_start().len());
        offset += line.len();
        if text.is_empty() {
            continue;
        }
        let read = prefix(text).and_then(|read| claim(&network.name, read, &mut claims.prefixes));
        match read {
            Ok(read) => network.prefixes.push(read),
            Err(Fault { what, hint }) => {
                let at = source.locate(start..start + text.len());
                section.found(Diagnostic::error(at, what).or_hint(hint));
                mistakes += 1;
                if mistakes == FILE_MISTAKES_MAX {
                    return;
                }
            }
        }
    }
}
