//! One method of a policy.

use std::ops::Range;

use toml::Spanned;

use super::fleet::FleetNames;
use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::{FenceTable, Field, MethodTable, TextOr};
use crate::config::value::{Fault, share, unknown_word, whole_in};
use crate::model::{Fence, Method, RegionId, Spill};

/// The methods that are built, each with its keys.
const METHODS: [(&str, &[&str]); 10] = [
    ("network", &[]),
    ("fence", &["by", "strict"]),
    ("proximity", &["bias", "tolerance"]),
    ("latency", &["tolerance", "explore"]),
    ("order", &["regions"]),
    ("spill", &["target", "ramp", "standby"]),
    ("weighted", &[]),
    ("affinity", &["prefix"]),
    ("nearest", &["n", "tolerance"]),
    ("rotate", &[]),
];

/// Resolves one item of `policy`.
pub(super) fn resolve(
    section: &mut Section<'_>,
    item: &Spanned<TextOr<MethodTable>>,
    names: &FleetNames,
) -> Option<Method> {
    let empty = MethodTable::default();
    let (table, name, at) = match item.get_ref() {
        TextOr::Text(name) => {
            section.written("method", item.span());
            (&empty, name, item.span())
        }
        TextOr::Table(table) => {
            let Some(name) = &table.method else {
                section.missing("method");
                return None;
            };
            section.written("method", name.span());
            (table, name.get_ref(), name.span())
        }
    };
    let known: Vec<&str> = METHODS.iter().map(|(known, _)| *known).collect();
    let Some((_, keys)) = METHODS.iter().find(|(known, _)| known == name) else {
        section.error(at, unknown_word("method", name, &known));
        return None;
    };
    foreign(section, table, name, keys);
    match name.as_str() {
        "network" => Some(Method::Network),
        "fence" => fence(section, table, names),
        "proximity" => {
            let bias = bias(section, table, names);
            Some(Method::Proximity { bias, tolerance: tolerance(section, table) })
        }
        "latency" => {
            let tolerance = tolerance(section, table);
            let explore = section.optional("explore", table.explore.as_ref(), share("explore"));
            Some(Method::Latency { tolerance, explore })
        }
        "order" => order(section, table, names),
        "spill" => Some(Method::Spill(spill(section, table))),
        "weighted" => Some(Method::Weighted),
        "affinity" => Some(affinity(section, table)),
        "nearest" => {
            let read = whole_in("n", &d::NEAREST_RANGE);
            let count = section.value("n", &table.n, d::NEAREST, read);
            Some(Method::Nearest { count, tolerance: tolerance(section, table) })
        }
        _ => Some(Method::Rotate),
    }
}

/// Refuses keys of other methods.
fn foreign(section: &mut Section<'_>, table: &MethodTable, name: &str, keys: &[&str]) {
    fn at<T>(field: Option<&Spanned<T>>) -> Option<Range<usize>> {
        field.map(Spanned::span)
    }
    let present = [
        ("by", at(table.by.as_ref())),
        ("strict", at(table.strict.as_ref())),
        ("bias", at(table.bias.as_ref())),
        ("tolerance", at(table.tolerance.as_ref())),
        ("explore", at(table.explore.as_ref())),
        ("regions", at(table.regions.as_ref())),
        ("n", at(table.n.as_ref())),
        ("prefix", at(table.prefix.as_ref())),
        ("target", at(table.target.as_ref())),
        ("ramp", at(table.ramp.as_ref())),
        ("standby", at(table.standby.as_ref())),
    ];
    for (key, span) in present {
        if let Some(span) = span.filter(|_| !keys.contains(&key)) {
            let fault = Fault::new(format!("`{key}` does not belong to method `{name}`"));
            let hint = match keys {
                [] => "it has no keys".to_owned(),
                keys => format!("its keys: {}", keys.join(", ")),
            };
            section.error(span, fault.hint(hint));
        }
    }
}

fn fence(section: &mut Section<'_>, table: &MethodTable, names: &FleetNames) -> Option<Method> {
    let by = section.required("by", table.by.as_ref(), |by| match by {
        TextOr::Text(text) => match text.as_str() {
            "country" => Ok(Some(Fence::Country)),
            "continent" => Ok(Some(Fence::Continent)),
            other => {
                let fault = unknown_word("fence", other, &["country", "continent"]);
                Err(match names.networks.find(other) {
                    Ok(_) => fault.hint(format!("write {{ network = \"{other}\" }}")),
                    Err(_) => fault,
                })
            }
        },
        TextOr::Table(FenceTable { network: None }) => Err(Fault::new("`network` is missing")),
        TextOr::Table(FenceTable { network: Some(name) }) => {
            names.networks.find(name.get_ref()).map(|id| id.map(Fence::Network))
        }
    });
    let strict = section.value("strict", &table.strict, d::STRICT, |flag| Ok(*flag));
    Some(Method::Fence { by: by??, strict })
}

fn bias(section: &mut Section<'_>, table: &MethodTable, names: &FleetNames) -> Vec<(RegionId, i8)> {
    let Some(field) = &table.bias else { return Vec::new() };
    section.written("bias", field.span());
    let read = whole_in("bias", &d::BIAS_RANGE);
    let mut all = Vec::new();
    for (region, bias) in field.get_ref() {
        match (names.regions.find(region.get_ref()), read(bias.get_ref())) {
            (Ok(Some(region)), Ok(bias)) => all.push((region, bias)),
            (Ok(None), Ok(_)) => {}
            (Err(fault), _) => section.error(region.span(), fault),
            (_, Err(fault)) => section.error(bias.span(), fault),
        }
    }
    all
}

fn tolerance(section: &mut Section<'_>, table: &MethodTable) -> f64 {
    section.value("tolerance", &table.tolerance, d::TOLERANCE, share("tolerance"))
}

fn order(section: &mut Section<'_>, table: &MethodTable, names: &FleetNames) -> Option<Method> {
    if table.regions.is_none() {
        let fault = Fault::new("method `order` needs `regions`");
        let hint = "write { method = \"order\", regions = [\"…\", \"…\"] }, best first";
        section.lacks("regions", fault.hint(hint));
        return None;
    }
    section.not_empty(&table.regions, Fault::new("`regions` is empty, so `order` ranks nothing"));
    let regions = section.list("regions", &table.regions, |text| names.regions.find(text));
    Some(Method::Order { regions })
}

fn spill(section: &mut Section<'_>, table: &MethodTable) -> Spill {
    let target = section.value("target", &table.target, d::SPILL_TARGET, share("target"));
    let ramp = section.value("ramp", &table.ramp, d::SPILL_RAMP, share("ramp"));
    let standby = section.value("standby", &table.standby, d::SPILL_STANDBY, share("standby"));
    Spill { target, ramp, standby }
}

fn affinity(section: &mut Section<'_>, table: &MethodTable) -> Method {
    let header = table.prefix.as_ref().map(Spanned::span).unwrap_or_default();
    let mut section = section.inside("prefix", header);
    let table = table.prefix.as_ref().map(|table| &table.get_ref().0);
    let (v4, v6): (&Field<i64>, &Field<i64>) =
        table.map_or((&None, &None), |table| (&table.v4, &table.v6));
    let read = whole_in("v4", &d::AFFINITY_V4_RANGE);
    let v4 = section.value("v4", v4, d::AFFINITY_V4, read);
    let read = whole_in("v6", &d::AFFINITY_V6_RANGE);
    Method::Affinity { v4, v6: section.value("v6", v6, d::AFFINITY_V6, read) }
}
