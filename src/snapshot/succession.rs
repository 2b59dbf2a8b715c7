//! Which plan may follow which: a plan is never replaced by an older one, nor by one that is empty
//! or much smaller, unless that is said to be meant.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::Loaded;
use super::load::LoadedZone;
use crate::model::{PlanMark, PlanNumber};
use crate::name::Name;

/// The only form there is.
const FORM: u32 = 1;

/// The plan with the greatest number that a node has served, as it is kept over restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    form: u32,
    epoch: u32,
    version: u32,
    digest: String,
}

impl Accepted {
    /// A plan of this number and content.
    pub fn new(number: PlanNumber, digest: Fingerprint) -> Self {
        let PlanNumber { epoch, version } = number;
        Self { form: FORM, epoch, version, digest: digest.to_string() }
    }

    /// Its number.
    pub fn number(&self) -> PlanNumber {
        PlanNumber { epoch: self.epoch, version: self.version }
    }

    /// Reads what [`Self::to_json`] wrote; the text says what is wrong.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let accepted: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if accepted.form != FORM {
            return Err(format!("form `{}` is not known, expected {FORM}", accepted.form));
        }
        Ok(accepted)
    }

    /// One JSON document.
    pub fn to_json(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(self).map_err(|error| error.to_string())
    }
}

/// The content of a fleet's files and zones in one number; equal on nodes that serve the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of files with this digest and of the zones beside them.
    pub(super) fn of(files: [u8; 32], zones: &[LoadedZone]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&files);
        for zone in zones {
            context.update(zone.origin.as_wire());
            context.update(&zone.digest);
        }
        let mut octets = [0; 32];
        octets.copy_from_slice(context.finish().as_ref());
        Self(octets)
    }

    /// Its beginning as a number that a float of 64 bits holds exactly.
    pub fn short(&self) -> u64 {
        self.0.iter().take(6).fold(0, |number, octet| number << 8 | u64::from(*octet))
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// How much a configuration holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Size {
    endpoints: usize,
    services: usize,
    /// Records by zone, of those with a master file that could be read.
    records: BTreeMap<Name, usize>,
}

impl Size {
    /// That of what was loaded.
    pub fn of(loaded: &Loaded) -> Self {
        let zones = loaded.zones.iter().filter(|zone| zone.primary.is_none());
        let records =
            zones.filter_map(|zone| Some((zone.origin.clone(), zone.zone.as_ref()?.records())));
        Self {
            endpoints: loaded.model.fleet.endpoints.len(),
            services: loaded.model.zones.iter().map(|zone| zone.services.len()).sum(),
            records: records.collect(),
        }
    }

    /// What of `self` is much less than before, in words.
    fn lacks(&self, before: &Self) -> Option<String> {
        let less = |what: &str, now: usize, before: usize| {
            let much = now < before.div_ceil(2);
            much.then(|| format!("it has {now} {what} instead of {before}"))
        };
        let records = || {
            before.records.iter().find_map(|(zone, before)| {
                let now = self.records.get(zone).copied().unwrap_or(0);
                less(&format!("records in zone {zone}"), now, *before)
            })
        };
        less("endpoints", self.endpoints, before.endpoints)
            .or_else(|| less("services", self.services, before.services))
            .or_else(records)
    }
}

/// What is known of a plan before it is served.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// What it says about itself; `None`: it has no number.
    pub mark: Option<PlanMark>,
    /// Its content.
    pub fingerprint: Fingerprint,
    /// How much it holds.
    pub size: &'a Size,
}

/// Whether a plan may be served after the one that is served now, of which `accepted` is known and
/// which holds `served`; what comes back is a warning.
///
/// Numbers guard those who use them: without `[plan]` in either, files are what their author last
/// wrote, and any may follow any.
///
/// # Errors
/// Why not.
pub fn succeed(
    accepted: Option<&Accepted>,
    served: &Size,
    next: Candidate<'_>,
) -> Result<Option<String>, String> {
    let warning = follow(accepted, next)?;
    match (next.mark, next.size.lacks(served)) {
        (Some(PlanMark { shrink: false, number }), Some(lack)) => Err(format!(
            "plan {number} is much smaller than the one served: {lack} (write `shrink = true` in \
             [plan] if that is meant)"
        )),
        _ => Ok(warning),
    }
}

/// Whether the number of a plan is not below the one accepted before.
///
/// # Errors
/// Why it is.
pub fn follow(accepted: Option<&Accepted>, next: Candidate<'_>) -> Result<Option<String>, String> {
    let Some(before) = accepted else { return Ok(None) };
    let known = before.number();
    let Some(PlanMark { number, .. }) = next.mark else {
        return Err(format!(
            "the plan has no number, and plan {known} was served before (add [plan]; to leave \
             numbers, remove plan.json from the state folder and restart)"
        ));
    };
    if number < known {
        return Err(format!(
            "plan {number} is older than {known}, which was served before (give it a greater \
             version, or a greater epoch)"
        ));
    }
    let changed = number == known && before.digest != next.fingerprint.to_string();
    Ok(changed.then(|| format!("plan {number} has another content than it had before")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(endpoints: usize, services: usize, records: usize) -> Size {
        let zone = Name::parse("x.test.", &Name::root()).unwrap();
        Size { endpoints, services, records: [(zone, records)].into() }
    }

    #[test]
    fn plans_only_move_forward_and_shrink_only_when_told_to() {
        let (one, other) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
        let accepted = Accepted::new(PlanNumber { epoch: 2, version: 5 }, one);
        let served = size(10, 4, 100);
        let empty = Size::default();
        for (case, accepted, mark, fingerprint, size, expected) in [
            ("the first with a number", None, Some((0, 1, false)), one, &served, Ok(false)),
            ("none ever had a number", None, None, other, &empty, Ok(false)),
            ("the next", Some(&accepted), Some((2, 6, false)), other, &served, Ok(false)),
            ("the same again", Some(&accepted), Some((2, 5, false)), one, &served, Ok(false)),
            ("the same number", Some(&accepted), Some((2, 5, false)), other, &served, Ok(true)),
            ("an older one", Some(&accepted), Some((2, 4, false)), one, &served, Err("is older")),
            ("an older epoch", Some(&accepted), Some((1, 99, true)), one, &served, Err("is older")),
            ("a newer epoch", Some(&accepted), Some((3, 0, false)), one, &served, Ok(false)),
            ("without a number", Some(&accepted), None, one, &served, Err("has no number")),
            (
                "empty",
                Some(&accepted),
                Some((2, 6, false)),
                one,
                &empty,
                Err("0 endpoints instead"),
            ),
            ("empty, as is meant", Some(&accepted), Some((2, 6, true)), one, &empty, Ok(false)),
            ("half", None, Some((0, 1, false)), one, &size(5, 2, 50), Ok(false)),
            (
                "fewer endpoints",
                None,
                Some((0, 1, false)),
                one,
                &size(4, 4, 99),
                Err("4 endpoints"),
            ),
            ("fewer services", None, Some((0, 1, false)), one, &size(9, 1, 99), Err("1 services")),
            ("fewer records", None, Some((0, 1, false)), one, &size(9, 4, 49), Err("zone x.test.")),
        ] {
            let mark = mark.map(|(epoch, version, shrink)| {
                let number = PlanNumber { epoch, version };
                PlanMark { number, shrink }
            });
            let found = succeed(accepted, &served, Candidate { mark, fingerprint, size });
            let told = found.clone().map(|warning| warning.is_some());
            let same = match (told, expected) {
                (Err(why), Err(part)) => why.contains(part),
                (told, expected) => told.ok() == expected.ok(),
            };
            assert!(same, "{case}: {found:?}");
        }
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let accepted = Accepted::new(PlanNumber { epoch: 1, version: 2 }, Fingerprint([7; 32]));
        let json = accepted.to_json().unwrap();
        assert_eq!(Accepted::from_json(&json), Ok(accepted));
        assert!(Accepted::from_json(b"{}").is_err());
        assert_eq!(Fingerprint([0xff; 32]).short(), (1 << 48) - 1);
    }
}
