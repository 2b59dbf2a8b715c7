//! `[latency]`, and the matrix that it names.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;

use super::resolvers;
use crate::config::defaults as d;
use crate::config::files::{Files, Place};
use crate::config::names::Names;
use crate::config::sheet::Section;
use crate::config::spec::{LatencyTable, Table};
use crate::config::value::{Fault, duration_in, share};
use crate::diagnostic::{Diagnostic, Source};
use crate::model::{Latency, Leg, Region, RegionId};

/// Mistakes shown of a matrix; a file of another kind would give one a line.
const FILE_MISTAKES_MAX: usize = 100;
/// What a round trip may be, in milliseconds.
const MS: std::ops::RangeInclusive<f64> = 0.05..=10_000.0;
/// Light in fibre covers so many kilometres there and back in a millisecond.
const KM_PER_MS: f64 = 100.0;
/// A region's endpoints are hardly farther than this from its coordinates.
const SLACK_KM: f64 = 1_000.0;

/// Resolves the table; `folder` is where fleet.toml is.
pub(super) fn resolve(
    top: &mut Section<'_>,
    table: Option<&Spanned<Table<LatencyTable>>>,
    (names, regions): (&Names<RegionId>, &[Option<Region>]),
    folder: &Place,
    files: &mut Files,
) -> Latency {
    let (header, table) = match table {
        Some(field) => (field.span(), field.get_ref().0.clone()),
        None => (0..0, LatencyTable::default()),
    };
    let mut section = top.inside("latency", header);
    let explore = section.value("explore", &table.explore, d::EXPLORE, share("explore"));
    let keep = section.value("keep", &table.keep, d::KEEP, duration_in("keep", &d::KEEP_RANGE));
    let learn = section.value("learn", &table.learn, d::LEARN, |flag| Ok(*flag));
    let mut matrix = Vec::new();
    if let Some(field) = &table.matrix
        && let Some(source) = section.file("matrix", field, folder, files)
    {
        matrix = rows(&mut section, &source, names, regions);
    }
    let table = table.resolvers.as_ref();
    let resolvers = table.and_then(|table| {
        if !learn {
            let fault = Fault::new("`resolvers` has no effect while `learn` is false");
            section.warn(table.span(), fault);
        }
        resolvers::resolve(&mut section, table, folder, files)
    });
    Latency { matrix, explore, keep, learn, resolvers: resolvers.map(Arc::new) }
}

/// Reads one round trip a line, `from,to,ms`; `#` starts a comment. One that is given one way holds
/// for the other as well.
fn rows(
    section: &mut Section<'_>,
    source: &Source,
    names: &Names<RegionId>,
    regions: &[Option<Region>],
) -> Vec<Leg> {
    let mut legs: Vec<Leg> = Vec::new();
    let mut first: HashMap<(RegionId, RegionId), u32> = HashMap::new();
    let (mut offset, mut mistakes) = (0, 0);
    for line in source.text().split_inclusive('\n') {
        let content = line.split('#').next().unwrap_or_default();
        let start = offset;
        offset += line.len();
        if content.trim().is_empty() || is_head(content) && legs.is_empty() {
            continue;
        }
        let read = row(content, names).and_then(|leg| {
            let here = source.locate(start..start + content.trim_end().len()).line;
            match first.insert((leg.from, leg.to), here) {
                None => Ok(leg),
                Some(before) => {
                    let fault = Fault::new("this round trip is given twice");
                    Err((whole(content), fault.hint(format!("first in line {before}"))))
                }
            }
        });
        match read {
            Ok(leg) => match impossible(leg, regions) {
                None => legs.push(leg),
                Some(fault) => {
                    let at = source.locate(start..start + content.trim_end().len());
                    section.found_warning(Diagnostic::warning(at, fault.what).or_hint(fault.hint));
                }
            },
            Err((span, Fault { what, hint })) => {
                let at = source.locate(start + span.start..start + span.end);
                section.found(Diagnostic::error(at, what).or_hint(hint));
                mistakes += 1;
                if mistakes == FILE_MISTAKES_MAX {
                    break;
                }
            }
        }
    }
    let given: HashSet<(RegionId, RegionId)> = legs.iter().map(|leg| (leg.from, leg.to)).collect();
    let back = |leg: &Leg| Leg { from: leg.to, to: leg.from, ms: leg.ms };
    let backs: Vec<Leg> = legs.iter().map(back).collect();
    legs.extend(backs.into_iter().filter(|leg| !given.contains(&(leg.from, leg.to))));
    legs.sort_by_key(|leg| (leg.from, leg.to));
    legs
}

/// One line.
fn row(line: &str, names: &Names<RegionId>) -> Result<Leg, (Range<usize>, Fault)> {
    let mut parts = Vec::new();
    let mut offset = 0;
    for part in line.split(',') {
        let text = part.trim();
        let start = offset + (part.len() - part.trim_start().len());
        parts.push((text, start..start + text.len().max(1)));
        offset += part.len() + 1;
    }
    let [(from, from_at), (to, to_at), (ms, ms_at)] = parts.as_slice() else {
        let what = format!("`{}` is not a round trip", line.trim());
        return Err((whole(line), Fault::new(what).hint("write `from,to,ms`")));
    };
    let region = |name: &str, at: &Range<usize>| match names.find(name) {
        Ok(found) => Ok(found.unwrap_or(RegionId(0))),
        Err(fault) => Err((at.clone(), fault)),
    };
    let (from, to) = (region(from, from_at)?, region(to, to_at)?);
    match ms.parse::<f64>() {
        Ok(ms) if MS.contains(&ms) => Ok(Leg { from, to, ms }),
        Ok(_) => {
            let what = format!("a round trip must be from 0.05 to 10000 ms, found `{ms}`");
            Err((ms_at.clone(), Fault::new(what)))
        }
        Err(_) => {
            let what = format!("`{ms}` is not a number of milliseconds");
            Err((ms_at.clone(), Fault::new(what)))
        }
    }
}

fn whole(line: &str) -> Range<usize> {
    let start = line.len() - line.trim_start().len();
    start..line.trim_end().len().max(start + 1)
}

/// Whether a line names the columns.
fn is_head(line: &str) -> bool {
    line.split(',').map(str::trim).eq(["from", "to", "ms"])
}

/// What is wrong with a round trip that is faster than light.
fn impossible(leg: Leg, regions: &[Option<Region>]) -> Option<Fault> {
    let region = |id: RegionId| regions.get(usize::from(id.0))?.as_ref();
    let (from, to) = (region(leg.from)?, region(leg.to)?);
    let distance_km = from.point.distance_km(to.point);
    let least = (distance_km - SLACK_KM) / KM_PER_MS;
    (leg.ms < least).then(|| {
        let what = format!(
            "`{}` ms from `{}` to `{}` is faster than light in fibre, {:.0} km apart",
            leg.ms, from.name, to.name, distance_km
        );
        Fault::new(what).hint("this round trip is left out")
    })
}
