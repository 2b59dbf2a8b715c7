//! Health first: which endpoints of a service may be answered at all.

use std::net::IpAddr;

use super::{Contest, Family, Local, View};
use crate::health::Level;
use crate::model::{Address, Endpoint, EndpointId, PoolId};
use crate::name::Name;

/// How good the best that a region has to offer is; the lower the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Enough of its weight is up.
    Up,
    /// Enough of its weight is up or not judged yet.
    Unknown,
    /// Only endpoints of weight 0 are left, and up.
    StandbyUp,
    /// Only endpoints of weight 0 are left, not judged yet.
    StandbyUnknown,
    /// It was gone, is up again, and has to wait.
    Returning,
    /// Something is up, but less than `min_up`: the region counts as down.
    WeakUp,
    /// Something may be up, but less than `min_up`.
    WeakUnknown,
    /// Only what an operator drains is left.
    Drained,
    /// A direct name: the region was asked for, and its health does not matter.
    Direct,
}

impl Grade {
    /// What the region is called in explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Unknown => "not judged yet",
            Self::StandbyUp => "standby, up",
            Self::StandbyUnknown => "standby, not judged yet",
            Self::Returning => "up again, waiting to be used",
            Self::WeakUp => "below min_up, partly up",
            Self::WeakUnknown => "below min_up, not judged yet",
            Self::Drained => "drained",
            Self::Direct => "asked for by name, whatever their health",
        }
    }
}

/// One address (or alias) of an endpoint that may be answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// Where it is.
    pub region: Local,
    /// What is answered.
    pub target: Target,
    /// The endpoint it belongs to.
    pub endpoint: EndpointId,
    /// Share among tied candidates, in units of [`WEIGHT_UNIT`] of configured weight.
    pub weight: u64,
    /// Failure domain.
    pub group: Option<String>,
}

/// What a candidate puts into the answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// An address record.
    Ip(IpAddr),
    /// A CNAME to this name.
    Alias(Name),
}

/// One unit of configured weight; divisible by 1 to 12, so that a hostname of that many addresses
/// shares its weight among them exactly.
pub const WEIGHT_UNIT: u64 = 27_720;

/// The endpoints that may be answered, all of one pool and one grade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eligible {
    /// The pool.
    pub pool: PoolId,
    /// The grade of every region in it.
    pub grade: Grade,
    /// Regions and their candidates, in the order of regions.
    pub candidates: Vec<Candidate>,
}

impl Eligible {
    /// The regions that have candidates.
    pub fn regions(&self) -> Vec<Local> {
        let mut regions: Vec<Local> = self.candidates.iter().map(|c| c.region).collect();
        regions.dedup();
        regions
    }
}

/// A region's grade, with the candidates that earn it.
type Graded = (Grade, Vec<Candidate>);

/// The endpoints of the best grade in the first pool that has a region up or standing by; failing
/// that, of regions that wait to be used again, then what is up in regions below their `min_up`,
/// and then what is drained; `None`: everything is down.
///
/// A pool whose regions are all unknown is not passed over: after a restart clients would go to
/// the backup pool until the first probes are in.
pub(super) fn eligible(
    contest: &Contest,
    family: Family,
    view: &View<'_>,
    allowed: impl Fn(Local) -> bool,
) -> Option<Eligible> {
    if contest.is_direct() {
        return whole(contest, family, view);
    }
    let graded: Vec<(PoolId, Vec<Graded>)> = contest
        .pools()
        .map(|pool| (pool, grade_regions(contest, pool, family, view, &allowed)))
        .collect();
    let best = |below: Grade| {
        graded.iter().find_map(|(pool, regions)| {
            let grades = regions.iter().map(|(grade, _)| *grade);
            Some((*pool, grades.min().filter(|grade| *grade < below)?))
        })
    };
    let bounds = [Grade::Returning, Grade::WeakUp, Grade::Drained, Grade::Direct];
    let (pool, grade) = bounds.into_iter().find_map(best)?;
    let candidates = graded
        .into_iter()
        .filter(|(other, _)| *other == pool)
        .flat_map(|(_, regions)| regions)
        .filter(|(other, _)| *other == grade)
        .flat_map(|(_, candidates)| candidates)
        .collect();
    Some(Eligible { pool, grade, candidates })
}

/// What the regions of weight 0 offer that could serve, where the others of their pool do.
pub(super) fn standbys(
    contest: &Contest,
    pool: PoolId,
    family: Family,
    view: &View<'_>,
    allowed: impl Fn(Local) -> bool,
) -> Vec<Candidate> {
    let graded = grade_regions(contest, pool, family, view, &allowed);
    let standby = graded.into_iter().filter(|(grade, _)| *grade == Grade::StandbyUp);
    standby.flat_map(|(_, candidates)| candidates).collect()
}

/// All endpoints of a direct name that have addresses of a family: who tests a region wants those
/// that are down, or of weight 0, too.
fn whole(contest: &Contest, family: Family, view: &View<'_>) -> Option<Eligible> {
    let pool = contest.pools().next()?;
    let members = contest.members(pool).iter();
    let candidates: Vec<Candidate> =
        members.flat_map(|(region, id)| candidates(contest, *region, *id, family, view)).collect();
    (!candidates.is_empty()).then_some(Eligible { pool, grade: Grade::Direct, candidates })
}

/// The grade of each allowed region of a pool, with the candidates that earn it.
fn grade_regions(
    contest: &Contest,
    pool: PoolId,
    family: Family,
    view: &View<'_>,
    allowed: &impl Fn(Local) -> bool,
) -> Vec<Graded> {
    let min_up = view.fleet.pool(pool).min_up;
    let regions = contest.members(pool).chunk_by(|a, b| a.0 == b.0);
    regions
        .filter(|members| members.first().is_some_and(|(region, _)| allowed(*region)))
        .filter_map(|members| {
            let of_family: Vec<(Level, Candidate)> = members
                .iter()
                .flat_map(|(region, id)| {
                    let level = view.level(*id);
                    candidates(contest, *region, *id, family, view).map(move |c| (level, c))
                })
                .collect();
            let (found, candidates) = grade(of_family, min_up)?;
            let region = members.first().map_or(0, |(region, _)| *region);
            let waits = view.share(region) == 0 && found < Grade::Returning;
            Some((if waits { Grade::Returning } else { found }, candidates))
        })
        .collect()
}

/// The grade of one region by the levels of its candidates; `None` when all are down.
fn grade(members: Vec<(Level, Candidate)>, min_up: f64) -> Option<Graded> {
    let weight = |wanted: &[Level]| -> u64 {
        let wanted = members.iter().filter(|(level, _)| wanted.contains(level));
        wanted.map(|(_, candidate)| candidate.weight).sum()
    };
    let total = weight(&[Level::Up, Level::Unknown, Level::Drained, Level::Down]);
    // Half a unit of weight absorbs the rounding of shares like 1/3.
    let enough = |weight: u64| weight > 0 && weight as f64 + 0.5 >= min_up * total as f64;
    let (up, unknown) = (weight(&[Level::Up]), weight(&[Level::Unknown]));
    let standby =
        |wanted: Level| members.iter().any(|(level, c)| *level == wanted && c.weight == 0);
    let grade = if enough(up) {
        Grade::Up
    } else if enough(up + unknown) {
        Grade::Unknown
    } else if standby(Level::Up) {
        Grade::StandbyUp
    } else if standby(Level::Unknown) {
        Grade::StandbyUnknown
    } else if up > 0 {
        Grade::WeakUp
    } else if unknown > 0 {
        Grade::WeakUnknown
    } else if members.iter().any(|(level, _)| *level == Level::Drained) {
        Grade::Drained
    } else {
        return None;
    };
    let (level, standby) = match grade {
        // A region is told to wait after this.
        Grade::Up | Grade::WeakUp | Grade::Returning => (Level::Up, false),
        // Unknown ranks after up, also within a region.
        Grade::Unknown | Grade::WeakUnknown if up > 0 => (Level::Up, false),
        Grade::Unknown | Grade::WeakUnknown => (Level::Unknown, false),
        Grade::StandbyUp => (Level::Up, true),
        // Direct names are not graded.
        Grade::StandbyUnknown | Grade::Direct => (Level::Unknown, true),
        // Standbys stay what they are, unless nothing else is drained.
        Grade::Drained => (Level::Drained, weight(&[Level::Drained]) == 0),
    };
    let chosen = members
        .into_iter()
        .filter(|(other, candidate)| *other == level && (candidate.weight == 0) == standby)
        .map(|(_, candidate)| candidate)
        .collect();
    Some((grade, chosen))
}

/// The candidates an endpoint gives in a family: one per address, or one alias.
pub(super) fn candidates<'a>(
    contest: &Contest,
    region: Local,
    id: EndpointId,
    family: Family,
    view: &View<'a>,
) -> impl Iterator<Item = Candidate> + use<'a> {
    let endpoint = view.fleet.endpoint(id);
    let targets = targets(endpoint, contest.is_alias(), family, view);
    let share = u64::from(endpoint.weight) * WEIGHT_UNIT / targets.len().max(1) as u64;
    targets.into_iter().map(move |target| {
        let group = endpoint.group.clone();
        Candidate { region, target, endpoint: id, weight: share, group }
    })
}

fn targets(endpoint: &Endpoint, alias: bool, family: Family, view: &View<'_>) -> Vec<Target> {
    match (&endpoint.address, family) {
        (Address::Ip(ip), _) => {
            let fits = ip.is_ipv4() == (family == Family::V4);
            if fits { vec![Target::Ip(*ip)] } else { Vec::new() }
        }
        (Address::Host(name), _) if alias => vec![Target::Alias(name.clone())],
        (Address::Host(name), Family::V4) => view.hosts.get(name).map_or_else(Vec::new, |known| {
            known.v4.iter().map(|ip| Target::Ip(IpAddr::V4(*ip))).collect()
        }),
        (Address::Host(name), Family::V6) => view.hosts.get(name).map_or_else(Vec::new, |known| {
            known.v6.iter().map(|ip| Target::Ip(IpAddr::V6(*ip))).collect()
        }),
    }
}
