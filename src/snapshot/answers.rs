//! The prepared answers of one service.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::detour::Detour;
use super::https::Binding;
use super::plan::Steering;
use super::records::{RecordSet, encode};
use crate::model::{ClientSubnet, Https};
use crate::name::Name;
use crate::steering::{
    Candidate, Class, Contenders, Contest, Decision, Eligible, Family, Local, NoData, Outcome,
    PICKS_MAX, Pick, Target, View,
};

/// Extended DNS error "Other" (RFC 8914 section 4.1), for answers given while all is down.
pub const EDE_OTHER: u16 = 0;

/// Extended DNS error "Blocked" (RFC 8914 section 4.16), for clients whom a strict fence gives
/// nothing.
pub const EDE_BLOCKED: u16 = 15;

/// Where a client is, as far as a service cares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// Clients of one class get the same candidates.
    pub class: u32,
    /// Leading bits of the client address the class depends on; 0: location plays no part.
    pub scope: u8,
    /// Whether the geo databases know where the client is; `None`: the policy does not ask them.
    pub matched: Option<bool>,
}

/// A steered answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steered<'a> {
    /// What was written or must be written.
    pub kind: SteeredKind<'a>,
    /// Extended DNS error (RFC 8914) to add, if any.
    pub ede: Option<u16>,
    /// Index of the region of the first address, for metrics.
    pub region: Option<u16>,
    /// Whether it goes to the runner-up, to learn how far it is.
    pub explored: bool,
}

/// The form of a steered answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SteeredKind<'a> {
    /// This many records were written, of this length in all.
    Records {
        /// Number of records.
        count: u16,
        /// Octets written to the start of `out`.
        length: usize,
    },
    /// A CNAME, to be written (and followed, when it is in the zone) by the caller.
    Cname {
        /// The target.
        target: &'a Name,
        /// TTL in seconds.
        ttl: u32,
    },
    /// No record of the family: NODATA with SOA, whose TTL is at most `ttl_max`.
    NoData {
        /// Upper bound of the negative TTL, in seconds.
        ttl_max: u32,
    },
    /// SERVFAIL, as the service's rule for all down asks.
    ServFail,
    /// `out` is too small: truncate.
    NoSpace,
}

/// What stands for a service where nothing can be steered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsteered<'a> {
    /// These addresses, as RDATA.
    Addresses(Vec<&'a [u8]>),
    /// An alias.
    Alias(&'a Name),
    /// No records.
    Nothing,
}

/// The prepared answers of one service for all client classes.
#[derive(Clone, Debug)]
pub struct ServiceAnswers {
    name: Arc<str>,
    steering: Arc<Steering>,
    pub(super) prepared: Arc<Prepared>,
    /// What its HTTPS records begin with; `None`: it has none.
    pub(super) binding: Option<Arc<Binding>>,
    /// Whose client subnets it goes by.
    client_subnet: Arc<ClientSubnet>,
}

/// The answers of a contest under one state of health; services with equal contests share them.
#[derive(Debug)]
pub struct Prepared {
    v4: Sets,
    v6: Sets,
}

/// The answers of one family.
#[derive(Debug, Default)]
struct Sets {
    /// Index into `sets`, by class.
    by_class: Vec<u32>,
    sets: Vec<AnswerSet>,
}

/// One outcome, ready to be written.
#[derive(Debug)]
pub(super) struct AnswerSet {
    pub(super) kind: SetKind,
    pub(super) ttl: u32,
    pub(super) ede: Option<u16>,
    /// What some queries get instead; `None`: all get this.
    pub(super) detour: Option<Box<Detour>>,
}

#[derive(Debug)]
pub(super) enum SetKind {
    Records(RecordSet),
    Aliases { contenders: Contenders, pick: Pick, targets: Vec<(Name, u16)> },
    Cname(Name),
    NoData,
    ServFail,
}

/// Region of an address that stands for no endpoint.
pub(super) const NO_REGION: u16 = u16::MAX;

impl ServiceAnswers {
    /// The answers of the service of this owner name.
    pub fn new(name: Arc<str>, steering: Arc<Steering>, prepared: Arc<Prepared>) -> Self {
        Self { name, steering, prepared, binding: None, client_subnet: Arc::new(ClientSubnet::On) }
    }

    /// The same with HTTPS records.
    #[must_use]
    pub fn with_https(mut self, https: Option<&Https>) -> Self {
        self.binding = https.map(|https| Arc::new(Binding::new(https)));
        self
    }

    /// The owner name as text, for metrics and logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rules behind the answers.
    pub fn steering(&self) -> &Arc<Steering> {
        &self.steering
    }

    /// Whether every query type is answered with a CNAME.
    pub fn is_alias(&self) -> bool {
        self.steering.contest.is_alias()
    }

    /// The same, going by the client subnets of these resolvers alone.
    #[must_use]
    pub fn with_client_subnet(self, client_subnet: ClientSubnet) -> Self {
        Self { client_subnet: Arc::new(client_subnet), ..self }
    }

    /// Whether it goes by the client subnets of this resolver.
    #[inline]
    pub fn believes(&self, resolver: IpAddr) -> bool {
        self.client_subnet.believes(resolver)
    }

    /// The class of a client, and the scope of answers to it.
    pub fn locate(&self, client: IpAddr) -> Located {
        let Steering { contest, table, matches, .. } = &*self.steering;
        let picked = contest.pick().scope(client);
        let Some(table) = table else { return Located { class: 0, scope: picked, matched: None } };
        let (class, scope) = table.lookup(client);
        let matched = matches.as_ref().map(|matches| matches.is_located(class, client));
        Located { class, scope: scope.max(picked), matched }
    }

    /// Whether one random number should serve all queries of a client of class `at`: it decides
    /// between regions, or the hints of HTTPS records repeat what it picks.
    pub fn shares_draw(&self, family: Family, at: Located) -> bool {
        let https = self.binding.is_some();
        let shares = |set: &AnswerSet| set.parts_regions() || https && set.is_picked();
        self.set(family, at).is_some_and(shares)
    }

    /// What a client of unknown place is answered from: all that it might get, since nothing
    /// weighs or rotates for whoever is answered from a transferred zone.
    pub fn unsteered(&self, family: Family) -> Unsteered<'_> {
        // Addresses of this block are nobody's (RFC 1122 section 3.2.1.3), so no database has them.
        let nowhere = IpAddr::from([0, 0, 0, 0]);
        let Some(set) = self.set(family, self.locate(nowhere)) else { return Unsteered::Nothing };
        match &set.kind {
            SetKind::Records(records) => Unsteered::Addresses(records.all()),
            SetKind::Cname(target) => Unsteered::Alias(target),
            SetKind::Aliases { contenders, pick, targets } => {
                let chosen = pick.choose(contenders, nowhere, 0, 1);
                let target = chosen.iter().next().and_then(|index| targets.get(index));
                target.map_or(Unsteered::Nothing, |(target, _)| Unsteered::Alias(target))
            }
            SetKind::NoData | SetKind::ServFail => Unsteered::Nothing,
        }
    }

    pub(super) fn set(&self, family: Family, at: Located) -> Option<&AnswerSet> {
        let sets = self.prepared.family(family);
        let index = sets.by_class.get(at.class as usize).copied().unwrap_or(0);
        sets.sets.get(index as usize)
    }

    /// Writes the address records of `family` for a client of class `at` to the start of `out`,
    /// each with the compression pointer `owner` (0xC00C: the question's name) as owner name.
    ///
    /// `client` is used by `affinity` alone and `random` by random choices alone; equal arguments
    /// give equal answers.
    pub fn answer(
        &self,
        family: Family,
        at: Located,
        client: IpAddr,
        random: u64,
        owner: u16,
        out: &mut [u8],
    ) -> Steered<'_> {
        let Some(set) = self.set(family, at) else {
            let kind = SteeredKind::ServFail;
            return Steered { kind, ede: None, region: None, explored: false };
        };
        let (kind, explored) = set.kind(random);
        let (kind, region) = match kind {
            SetKind::Records(records) => records.write(client, random, owner, out),
            SetKind::Aliases { contenders, pick, targets } => {
                let chosen = pick.choose(contenders, client, random, 1);
                match chosen.iter().next().and_then(|index| targets.get(index)) {
                    Some((target, region)) => {
                        (SteeredKind::Cname { target, ttl: set.ttl }, Some(*region))
                    }
                    None => (SteeredKind::ServFail, None),
                }
            }
            SetKind::Cname(target) => (SteeredKind::Cname { target, ttl: set.ttl }, None),
            SetKind::NoData => (SteeredKind::NoData { ttl_max: set.ttl }, None),
            SetKind::ServFail => (SteeredKind::ServFail, None),
        };
        let region = region.filter(|region| *region != NO_REGION);
        Steered { kind, ede: set.ede, region, explored }
    }
}

impl Prepared {
    /// Prepares the answers to all classes of a contest in this state of the world.
    pub fn new(steering: &Steering, view: &View<'_>) -> Self {
        let mut v4 = Preparation::new(Family::V4, &steering.contest, view);
        let mut v6 = Preparation::new(Family::V6, &steering.contest, view);
        for class in &steering.classes {
            let (first, second) = (v4.place(class), v6.place(class));
            v4.add(class, &first, &second.best);
            v6.add(class, &second, &first.best);
        }
        Self { v4: v4.sets, v6: v6.sets }
    }

    fn family(&self, family: Family) -> &Sets {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

/// What tells the outcome of one class from that of another.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    allowed: Vec<bool>,
    best: Vec<Local>,
    /// The regions that share the clients with those of `best` that come back.
    rest: Vec<Local>,
    /// The regions whose clients they are, where load decides where they go.
    homes: Vec<Local>,
    /// The regions that some queries explore.
    runner_up: Vec<Local>,
    ttl_seconds: u64,
}

/// The answers of one family under way.
struct Preparation<'a> {
    family: Family,
    contest: &'a Contest,
    view: &'a View<'a>,
    /// Most classes are allowed every region, and few first places exist among them.
    eligible: HashMap<Vec<bool>, Option<Eligible>>,
    /// Index of the answers by place, and by the best regions of the other family.
    known: HashMap<(Place, Vec<Local>), u32>,
    sets: Sets,
}

impl<'a> Preparation<'a> {
    fn new(family: Family, contest: &'a Contest, view: &'a View<'a>) -> Self {
        let (eligible, known, sets) = (HashMap::new(), HashMap::new(), Sets::default());
        Self { family, contest, view, eligible, known, sets }
    }

    /// The regions in first place for a class.
    fn place(&mut self, class: &Class) -> Place {
        let Self { family, contest, view, eligible, .. } = self;
        let all = 0..contest.regions().len() as Local;
        let allowed: Vec<bool> = all.map(|region| class.allows(region)).collect();
        let found = eligible
            .entry(allowed.clone())
            .or_insert_with(|| contest.eligible(*family, view, |region| class.allows(region)));
        let (best, ttl_seconds, homes) = match found {
            Some(found) => {
                let (best, ttl) = contest.best(class, found, view);
                (best, ttl.as_secs(), contest.homes(class, found, view))
            }
            // All down: the classes' own first places decide.
            None => (class.tiers.iter().flatten().copied().collect(), 0, Vec::new()),
        };
        let rest = contest.rest(class, *family, &best, view);
        let rest = rest.iter().map(|candidate| candidate.region).collect();
        let runner_up = contest.runner_up(class, *family, view);
        let runner_up = runner_up.iter().map(|candidate| candidate.region).collect();
        Place { allowed, best, rest, homes, runner_up, ttl_seconds }
    }

    /// Adds the answers to the next class, to whom the regions `twin` are the best of the other
    /// family.
    fn add(&mut self, class: &Class, place: &Place, twin: &[Local]) {
        let Self { family, contest, view, sets, .. } = self;
        let key = (place.clone(), twin.to_vec());
        let index = *self.known.entry(key).or_insert_with(|| {
            sets.sets.push(AnswerSet::new(contest, class, *family, view));
            (sets.sets.len() - 1) as u32
        });
        sets.by_class.push(index);
    }
}

impl AnswerSet {
    fn new(contest: &Contest, class: &Class, family: Family, view: &View<'_>) -> Self {
        let decision = contest.decide(class, family, view);
        let ttl = decision.ttl.as_secs() as u32;
        let down = decision.eligible.is_none();
        let ede = match decision.outcome {
            Outcome::NoData(NoData::Fenced) => Some(EDE_BLOCKED),
            Outcome::NoData(NoData::Family) => None,
            _ => down.then_some(EDE_OTHER),
        };
        let mut detour = None;
        let kind = match &decision.outcome {
            Outcome::Tied(tied) => {
                let other = match family {
                    Family::V4 => Family::V6,
                    Family::V6 => Family::V4,
                };
                let twin = match contest.decide(class, other, view).outcome {
                    Outcome::Tied(twin) => twin,
                    _ => Vec::new(),
                };
                let [own, twins] = [family, other].map(|of| contest.runner_up(class, of, view));
                if !own.is_empty() {
                    let kind = tied_kind(contest, &decision, &own, &twins, view);
                    detour = Some(Box::new(Detour::new(kind, contest.explored(view.fleet))));
                }
                tied_kind(contest, &decision, tied, &twin, view)
            }
            Outcome::Cname(target) => SetKind::Cname(target.clone()),
            Outcome::NoData(_) => SetKind::NoData,
            Outcome::ServFail => SetKind::ServFail,
        };
        Self { kind, ttl, ede, detour }
    }

    /// Whether a random number picks from several.
    fn is_picked(&self) -> bool {
        let picks = |pick: Pick| !matches!(pick, Pick::Affinity { .. });
        matches!(&self.kind, SetKind::Records(set) if picks(set.pick) && set.contenders.len() > 1)
    }

    /// Whether a random number decides between regions.
    fn parts_regions(&self) -> bool {
        if self.detour.is_some() {
            return true;
        }
        match &self.kind {
            SetKind::Records(RecordSet { contenders, .. })
            | SetKind::Aliases { contenders, .. } => contenders.parts_regions(),
            SetKind::Cname(_) | SetKind::NoData | SetKind::ServFail => false,
        }
    }
}

/// How many records an answer of this decision holds, and how they are picked: with everything
/// down, the rule `all` means all.
pub fn picking(contest: &Contest, decision: &Decision) -> (Pick, usize) {
    let all_of_them = matches!(
        contest.all_down(),
        crate::model::AllDown::All | crate::model::AllDown::Address(_)
    );
    if decision.eligible.is_none() && all_of_them && !contest.is_alias() {
        return (Pick::Rotate, PICKS_MAX);
    }
    (contest.pick(), contest.answers())
}

fn tied_kind(
    contest: &Contest,
    decision: &Decision,
    tied: &[Candidate],
    twin: &[Candidate],
    view: &View<'_>,
) -> SetKind {
    let ttl = decision.ttl.as_secs() as u32;
    let (pick, want) = picking(contest, decision);
    let contenders = Contenders::new(tied, twin, pick, contest, view);
    let contenders = if decision.is_spilled { contenders.by_share(tied) } else { contenders };
    let region = |candidate: &Candidate| {
        let region = contest.regions().get(usize::from(candidate.region));
        region.map_or(NO_REGION, |region| region.0)
    };
    let aliases = tied.iter().filter_map(|candidate| match &candidate.target {
        Target::Alias(name) => Some((name.clone(), region(candidate))),
        Target::Ip(_) => None,
    });
    let targets: Vec<(Name, u16)> = aliases.collect();
    if !targets.is_empty() {
        return SetKind::Aliases { contenders, pick, targets };
    }
    let mut wire = Vec::with_capacity(tied.len() * 28);
    for candidate in tied {
        if let Target::Ip(address) = &candidate.target {
            encode(*address, ttl, &mut wire);
        }
    }
    let size = wire.len() / tied.len().max(1);
    let regions = tied.iter().map(region).collect();
    SetKind::Records(RecordSet { contenders, pick, want, wire, size, regions })
}
