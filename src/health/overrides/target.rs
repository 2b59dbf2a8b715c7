//! What an override is about: regions, pools or endpoints, by name or by pattern.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::diagnostic::nearest;
use crate::model::{Address, Endpoint, EndpointId, Fleet};

/// Longest text of a target: a kind, a hostname and a region.
const LENGTH_MAX: usize = 400;

/// What an override is about; in each name `*` stands for any characters, also for none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// `region:NAME`: all endpoints in a region.
    Region(String),
    /// `pool:NAME`: all endpoints of a pool.
    Pool(String),
    /// `pool:NAME@REGION`: those of a pool in a region.
    PoolIn {
        /// Name of the pool.
        pool: String,
        /// Name of the region.
        region: String,
    },
    /// `endpoint:ADDR`: those with an address or hostname, in whatever pool.
    Endpoint(String),
}

/// Why a text is no target, or names nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetError {
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub hint: String,
}

/// How targets are written.
const FORM: &str = "such as `region:eu`, `pool:web`, `pool:web@eu` or `endpoint:192.0.2.10`";

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let fault = |what: String| TargetError { what, hint: FORM.to_owned() };
        let (kind, name) = text.split_once(':').unwrap_or((text, ""));
        if text.len() > LENGTH_MAX || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(fault("this is not a target".to_owned()));
        }
        let named = |name: &str| {
            let missing = || fault(format!("`{text}` names no {kind}"));
            if name.is_empty() { Err(missing()) } else { Ok(name.to_ascii_lowercase()) }
        };
        match kind {
            "region" => named(name).map(Self::Region),
            "pool" => match name.split_once('@') {
                Some((pool, region)) => {
                    Ok(Self::PoolIn { pool: named(pool)?, region: named(region)? })
                }
                None => named(name).map(Self::Pool),
            },
            "endpoint" => named(&canonical(name)).map(Self::Endpoint),
            _ => Err(fault(format!("`{text}` is not a target"))),
        }
    }
}

/// An address as the fleet writes it; a hostname without its final dot.
fn canonical(name: &str) -> String {
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => name.trim_end_matches('.').to_owned(),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(name) => write!(f, "region:{name}"),
            Self::Pool(name) => write!(f, "pool:{name}"),
            Self::PoolIn { pool, region } => write!(f, "pool:{pool}@{region}"),
            Self::Endpoint(name) => write!(f, "endpoint:{name}"),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error: TargetError| serde::de::Error::custom(error.what))
    }
}

impl Target {
    /// How narrow it is; of two targets the one with the higher rank decides.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Region(_) => 0,
            Self::Pool(_) => 1,
            Self::PoolIn { .. } => 2,
            Self::Endpoint(_) => 3,
        }
    }

    /// Whether an endpoint is meant.
    pub fn meets(&self, fleet: &Fleet, endpoint: &Endpoint) -> bool {
        let region = || fleet.region(endpoint.region).name.as_str();
        let pool = || fleet.pool(endpoint.pool).name.as_str();
        match self {
            Self::Region(name) => fits(name, region()),
            Self::Pool(name) => fits(name, pool()),
            Self::PoolIn { pool: of, region: at } => fits(of, pool()) && fits(at, region()),
            Self::Endpoint(name) => fits(name, &shown(&endpoint.address)),
        }
    }

    /// Whether a region is meant, as a whole.
    pub fn is_region(&self, region: &str) -> bool {
        matches!(self, Self::Region(name) if fits(name, region))
    }

    /// The endpoints that are meant.
    ///
    /// # Errors
    /// When there is none: what is unknown, and what may have been meant.
    pub fn endpoints(&self, fleet: &Fleet) -> Result<Vec<EndpointId>, TargetError> {
        let all = (0..).map(EndpointId).zip(&fleet.endpoints);
        let met: Vec<EndpointId> =
            all.filter(|(_, endpoint)| self.meets(fleet, endpoint)).map(|(id, _)| id).collect();
        if met.is_empty() { Err(self.unknown(fleet)) } else { Ok(met) }
    }

    /// What to say of a target that means nothing.
    fn unknown(&self, fleet: &Fleet) -> TargetError {
        let regions = || fleet.regions.iter().map(|region| region.name.clone()).collect();
        let pools = || fleet.pools.iter().map(|pool| pool.name.clone()).collect();
        let addresses = || fleet.endpoints.iter().map(|e| shown(&e.address)).collect();
        let (kind, name, known): (&str, &str, Vec<String>) = match self {
            Self::Region(name) => ("region", name, regions()),
            Self::Pool(name) => ("pool", name, pools()),
            Self::PoolIn { pool, region } if pools().iter().any(|known| fits(pool, known)) => {
                ("region", region, regions())
            }
            Self::PoolIn { pool, .. } => ("pool", pool, pools()),
            Self::Endpoint(name) => ("endpoint", name, addresses()),
        };
        if known.iter().any(|known| fits(name, known)) {
            let what = format!("`{self}` has no endpoints");
            return TargetError { what, hint: "there is nothing to force".to_owned() };
        }
        let known = || known.iter().map(String::as_str);
        let hint = match nearest(name, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known {kind}s: {}", listed(known())),
        };
        TargetError { what: format!("no {kind} `{name}`"), hint }
    }
}

/// Names shown of many.
const SHOWN_MAX: usize = 20;

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len() > SHOWN_MAX;
    names.truncate(SHOWN_MAX);
    if more {
        names.push("…");
    }
    names.join(", ")
}

/// An address without a final dot.
fn shown(address: &Address) -> String {
    let text = address.to_string();
    text.strip_suffix('.').map_or_else(|| text.to_ascii_lowercase(), str::to_ascii_lowercase)
}

/// Whether a name fits a pattern: between its stars the parts come in their order.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    // The last part stands at the end, the others as early as they can.
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = left.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, name, expected) in [
            ("eu", "eu", true),
            ("eu", "eu-1", false),
            ("eu-*", "eu-central", true),
            ("eu-*", "eu-", true),
            ("eu-*", "us-eu-1", false),
            ("*", "", true),
            ("*-1", "eu-1-1", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("**", "x", true),
            ("*ab", "aab", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn targets_are_written_back_in_their_plain_form() {
        for (text, plain) in [
            ("region:eu-*", "region:eu-*"),
            ("pool:web", "pool:web"),
            ("pool:web@eu-*", "pool:web@eu-*"),
            ("endpoint:2001:DB8::0:1", "endpoint:2001:db8::1"),
            ("endpoint:[2001:db8::1]", "endpoint:2001:db8::1"),
            ("endpoint:LB.example.net.", "endpoint:lb.example.net"),
            ("endpoint:192.0.2.*", "endpoint:192.0.2.*"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), plain, "{text}");
        }
        let long = format!("pool:{}", "x".repeat(LENGTH_MAX));
        for wrong in [
            "",
            "web",
            "pool:",
            "pool:@eu",
            "pool:web@",
            "pools:web",
            "region:a b",
            "endpoint:.",
            &long,
        ] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }
}
