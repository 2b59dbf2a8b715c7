//! What `explain` shows: the answer, and each step that led to it.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use hickory_proto::op::ResponseCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::latency::RoundTrips;
use super::located::Located;
use super::question::{Asked, Question};
use crate::diagnostic::count;
use crate::health::{Council, EndpointHealth, Seat};
use crate::model::{EndpointId, Fleet};
use crate::prefix::Prefix;
use crate::snapshot::{ServiceAnswers, Snapshot, State, Steering, ZoneEntry};
use crate::steering::{
    Candidate, Class, Contest, Decision, FULL, Family, Local, NoData, Outcome, Pick, Target,
};

/// A word of ours, or one that was read.
pub(super) type Word = Cow<'static, str>;

/// Why a client gets the answer it gets: the answer, and each step that led to it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    name: String,
    #[serde(rename = "type")]
    rtype: Word,
    client: IpAddr,
    resolver: Option<IpAddr>,
    rcode: String,
    /// The records of the answer section.
    answers: Vec<Record>,
    /// Leading bits of the client's address that the answer depends on.
    scope: u8,
    /// The prefix of the client that gets this answer.
    holds_for: Option<String>,
    /// `None`: the answer is of static records alone.
    steering: Option<Steps>,
}

/// One record.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Record {
    owner: String,
    ttl: u32,
    #[serde(rename = "type")]
    rtype: String,
    data: String,
}

/// How a steered name came to its answer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Steps {
    service: String,
    located: Located,
    endpoints: Vec<EndpointState>,
    /// Regions that were lost and do not play their full part yet.
    returning: Vec<Returning>,
    /// The pool and how good the best of it is; `None`: everything is down.
    eligible: Option<Eligible>,
    /// `None`: the service does not go by round trips.
    round_trips: Option<RoundTrips>,
    ranking: Vec<StepReport>,
    /// What load says of the regions; empty where nothing is known of it.
    loads: Vec<super::load::RegionLoad>,
    outcome: String,
    tied: Vec<Tied>,
    pick: String,
    ttl: u64,
    ttl_reason: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct EndpointState {
    endpoint: String,
    region: String,
    pool: String,
    health: Word,
    cause: String,
    /// What each known probing region says; empty without monitors.
    votes: Vec<Said>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Said {
    vantage: String,
    verdict: Word,
    /// Why it votes or does not; `None`: it is not known to probe.
    state: Option<Word>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Returning {
    region: String,
    /// From 0 to 1.
    share: f64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Eligible {
    pool: String,
    grade: Word,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct StepReport {
    method: Word,
    spoke: bool,
    /// Region names, best tier first.
    tiers: Vec<Vec<String>>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Tied {
    address: String,
    region: String,
    /// Share by weight among the tied.
    share: f64,
}

impl Explanation {
    /// Asks the engine, and the steering behind it for its reasons.
    ///
    /// # Errors
    /// When there is no answer that decodes, which would be a fault of the engine.
    pub fn new(question: &Question, snapshot: &Snapshot) -> Result<Self, String> {
        let (message, facts) = question.ask(snapshot)?;
        let answers = message.answers.iter().map(|record| Record {
            owner: record.name.to_string(),
            ttl: record.ttl,
            rtype: record.record_type().to_string(),
            data: record.data.to_string(),
        });
        let located = question.subnet().map_or(question.client, Prefix::address);
        let service = facts.service.and_then(|label| service(snapshot, label));
        let believed = |resolver: &IpAddr| {
            snapshot.options.client_subnet.believes(*resolver)
                && service.is_none_or(|service| service.believes(*resolver))
        };
        // Whose address was located is the policy's matter; the engine located this one.
        let located = question.resolver.filter(|resolver| !believed(resolver)).unwrap_or(located);
        let steering = service.zip(snapshot.state.as_deref());
        let steering =
            steering.map(|(service, state)| Steps::new(service, question, located, state));
        Ok(Self {
            name: question.name.to_string(),
            rtype: question.rtype().into(),
            client: question.client,
            resolver: question.resolver,
            rcode: mnemonic(message.metadata.response_code),
            answers: answers.collect(),
            scope: facts.scope,
            holds_for: (facts.scope > 0).then(|| Prefix::holding(located, facts.scope).to_string()),
            steering,
        })
    }

    /// Whether there is an answer at all, as opposed to an error or no data.
    pub fn is_answered(&self) -> bool {
        !self.answers.is_empty()
    }
}

/// A response code as dig and the RFCs write it.
pub fn mnemonic(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        other => other.to_string(),
    }
}

/// The service that is counted under this label.
fn service(snapshot: &Snapshot, label: u32) -> Option<&ServiceAnswers> {
    snapshot.zones.iter().find_map(|(_, entry)| {
        let ZoneEntry::Serving(served) = entry else { return None };
        let at = served.labels.iter().position(|other| *other == label)?;
        served.services.get(at).map(AsRef::as_ref)
    })
}

impl Steps {
    fn new(answers: &ServiceAnswers, question: &Question, address: IpAddr, state: &State) -> Self {
        let steering = answers.steering();
        let loaded = &state.loaded;
        let fleet = &loaded.model.fleet;
        let view = state.view(steering);
        let client = loaded.ground.client(address);
        let network = client.network.and_then(|id| fleet.networks.get(usize::from(id.0)));
        let located = Located::new(address, client.place, network.map(|n| n.name.clone()));
        let class = steering.class(answers.locate(address).class);
        let decision = decide((steering, class), question, &view);
        let names = Names { contest: &steering.contest, fleet };
        Self {
            service: answers.name().to_owned(),
            located,
            endpoints: endpoints(&steering.contest, &view, &state.council),
            returning: names.returning(&view),
            eligible: decision.eligible.map(|(pool, grade)| Eligible {
                pool: fleet.pool(pool).name.clone(),
                grade: grade.as_str().into(),
            }),
            round_trips: RoundTrips::new((steering, class), address, loaded, &view),
            ranking: decision.steps.iter().map(|step| names.step(step)).collect(),
            loads: super::load::loads(&steering.contest, &view),
            outcome: outcome(&steering.contest, &decision),
            tied: names.tied(&decision),
            pick: pick(&steering.contest, &decision),
            ttl: decision.ttl.as_secs(),
            ttl_reason: ttl_reason(&steering.contest, &decision, &view),
        }
    }
}

/// The very decision that the served answer was prepared from.
fn decide(
    (steering, class): (&Steering, Option<&Class>),
    question: &Question,
    view: &crate::steering::View<'_>,
) -> Decision {
    match class {
        Some(class) => {
            let decide = |family| steering.contest.decide(class, family, view);
            match question.asked {
                Asked::Addresses(family) => decide(family),
                Asked::Https => deciding(decide(Family::V4), decide(Family::V6)),
            }
        }
        // Not reached: a steering has at least one class.
        None => Decision {
            eligible: None,
            steps: Vec::new(),
            outcome: Outcome::ServFail,
            is_spilled: false,
            ttl: std::time::Duration::ZERO,
            first_change: None,
        },
    }
}

/// The decision that an HTTPS record's TTL is of: that of the family whose addresses may change
/// first, as far as it has any.
fn deciding(v4: Decision, v6: Decision) -> Decision {
    let has_none = |decision: &Decision| !matches!(decision.outcome, Outcome::Tied(_));
    let rank = |decision: &Decision| (has_none(decision), decision.ttl);
    if rank(&v6) < rank(&v4) { v6 } else { v4 }
}

fn endpoints(
    contest: &Contest,
    view: &crate::steering::View<'_>,
    council: &Council,
) -> Vec<EndpointState> {
    let fleet = view.fleet;
    let members = contest.pools().flat_map(|pool| contest.members(pool));
    let state = |(_, id): &(Local, EndpointId)| {
        let endpoint = fleet.endpoint(*id);
        let health = view.health.get(id.0 as usize);
        EndpointState {
            endpoint: endpoint.address.to_string(),
            region: fleet.region(endpoint.region).name.clone(),
            pool: fleet.pool(endpoint.pool).name.clone(),
            health: view.level(*id).as_str().into(),
            cause: health.map_or_else(String::new, |health| health.cause.to_string()),
            votes: health.map_or_else(Vec::new, |health| said(fleet, health, council)),
        }
    };
    members.map(state).collect()
}

/// What each known probing region says of an endpoint.
fn said(fleet: &Fleet, health: &EndpointHealth, council: &Council) -> Vec<Said> {
    let said = health.votes.iter().map(|vote| Said {
        vantage: fleet.region(vote.region).name.clone(),
        verdict: vote.verdict.as_str().into(),
        state: council.seat(vote.region).map(|seat| Seat::as_str(seat).into()),
    });
    said.collect()
}

/// Names for the contest's numbers.
struct Names<'a> {
    contest: &'a Contest,
    fleet: &'a Fleet,
}

impl Names<'_> {
    fn region(&self, local: Local) -> String {
        let id = self.contest.regions().get(usize::from(local));
        id.map_or_else(|| "-".to_owned(), |id| self.fleet.region(*id).name.clone())
    }

    fn returning(&self, view: &crate::steering::View<'_>) -> Vec<Returning> {
        let part = |local: Local| f64::from(view.share(local)) / f64::from(FULL);
        let all = (0..self.contest.regions().len() as Local).filter(|local| part(*local) < 1.0);
        all.map(|local| Returning { region: self.region(local), share: part(local) }).collect()
    }

    fn step(&self, step: &crate::steering::Step) -> StepReport {
        let tier = |tier: &Vec<Local>| tier.iter().map(|region| self.region(*region)).collect();
        let tiers = step.tiers.iter().map(tier).collect();
        StepReport { method: step.method.into(), spoke: step.spoke, tiers }
    }

    fn tied(&self, decision: &Decision) -> Vec<Tied> {
        let Outcome::Tied(tied) = &decision.outcome else { return Vec::new() };
        let total: u64 = tied.iter().map(|candidate| candidate.weight).sum();
        let share = |candidate: &Candidate| match total {
            0 => 1.0 / tied.len() as f64,
            total => candidate.weight as f64 / total as f64,
        };
        tied.iter()
            .map(|candidate| Tied {
                address: match &candidate.target {
                    Target::Ip(address) => address.to_string(),
                    Target::Alias(name) => name.to_string(),
                },
                region: self.region(candidate.region),
                share: share(candidate),
            })
            .collect()
    }
}

fn outcome(contest: &Contest, decision: &Decision) -> String {
    let rule = contest.all_down();
    match &decision.outcome {
        Outcome::Tied(tied) if decision.eligible.is_none() => {
            format!(
                "everything is down: {} by the rule all_down = {rule}",
                count(tied.len(), "endpoint")
            )
        }
        Outcome::Tied(tied) => format!("{} tied", count(tied.len(), "endpoint")),
        Outcome::Cname(target) => format!("everything is down: alias of {target}"),
        Outcome::NoData(NoData::Family) => "no endpoint has an address of this type".to_owned(),
        Outcome::NoData(NoData::Fenced) => {
            "no region lies within the client's strict fence".to_owned()
        }
        Outcome::NoData(NoData::AllDown) => "everything is down: no records".to_owned(),
        Outcome::ServFail => "no endpoint can be answered: SERVFAIL".to_owned(),
    }
}

fn pick(contest: &Contest, decision: &Decision) -> String {
    let (pick, want) = crate::snapshot::picking(contest, decision);
    let want = if want == crate::steering::PICKS_MAX { "all".to_owned() } else { want.to_string() };
    match pick {
        Pick::Weighted => format!("{want}, at random by weight"),
        Pick::Affinity { v4, v6 } => format!("{want}, by hash of the client's /{v4} or /{v6}"),
        Pick::Rotate => format!("{want}, in rotation"),
    }
}

fn ttl_reason(contest: &Contest, decision: &Decision, view: &crate::steering::View<'_>) -> String {
    let range = contest.ttl();
    match decision.first_change {
        Some(id) => {
            let address = &view.fleet.endpoint(id).address;
            let change = contest.earliest_change(id, view).unwrap_or_default();
            let bound = if change < range.min { ", but not below ttl.min" } else { "" };
            format!("{address} could change in {change:?}{bound}")
        }
        None if decision.eligible.is_none() => "ttl.min while everything is down".to_owned(),
        None => "ttl.max: nothing can change sooner".to_owned(),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} for {}", self.name, self.rtype, self.client)?;
        if let Some(resolver) = self.resolver {
            write!(f, " through {resolver}")?;
        }
        writeln!(f, ": {}", self.rcode)?;
        for record in &self.answers {
            let Record { owner, ttl, rtype, data } = record;
            writeln!(f, "  {owner} {ttl} {rtype} {data}")?;
        }
        match (&self.holds_for, &self.steering) {
            (Some(prefix), _) => writeln!(f, "scope     /{}: for all of {prefix}", self.scope)?,
            (None, Some(_)) => writeln!(f, "scope     /0: for all clients")?,
            (None, None) => {}
        }
        match &self.steering {
            Some(steps) => steps.fmt(f),
            None => f.write_str(match self.rcode.as_str() {
                "REFUSED" => "zone      no zone of this node holds the name",
                "SERVFAIL" => "zone      its files have mistakes, `meridian check` shows them",
                _ => "static    no service steers this answer",
            }),
        }
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ttl       {} s: {}", self.ttl, self.ttl_reason)?;
        writeln!(f, "service   {}", self.service)?;
        writeln!(f, "client    {}", self.located)?;
        for endpoint in &self.endpoints {
            let EndpointState { endpoint, region, pool, health, cause, votes } = endpoint;
            writeln!(f, "health    {pool} {region} {endpoint}: {health} ({cause})")?;
            let votes: Vec<String> = votes.iter().map(ToString::to_string).collect();
            // A sole vantage says nothing that the health does not say.
            if votes.len() > 1 {
                writeln!(f, "          {}", votes.join(", "))?;
            }
        }
        for Returning { region, share } in &self.returning {
            writeln!(f, "returning {region}, share {:.0} %", share * 100.0)?;
        }
        match &self.eligible {
            Some(Eligible { pool, grade }) => {
                writeln!(f, "eligible  pool {pool}: regions {grade}")?;
            }
            None => writeln!(f, "eligible  nothing")?,
        }
        if let Some(round_trips) = &self.round_trips {
            write!(f, "{round_trips}")?;
        }
        for step in &self.ranking {
            let tiers: Vec<String> = step.tiers.iter().map(|tier| tier.join(" = ")).collect();
            let said = if step.spoke { tiers.join(" > ") } else { "nothing to add".to_owned() };
            writeln!(f, "{:<9} {said}", step.method)?;
        }
        for load in &self.loads {
            writeln!(f, "load      {load}")?;
        }
        writeln!(f, "outcome   {}", self.outcome)?;
        for Tied { address, region, share } in &self.tied {
            writeln!(f, "          {address} in {region}, share {:.1} %", share * 100.0)?;
        }
        write!(f, "pick      {}", self.pick)
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vantage, verdict, state } = self;
        match (&**verdict, state.as_deref()) {
            ("unknown", Some(state @ ("impaired" | "dead"))) => write!(f, "{vantage} {state}"),
            ("unknown", _) => write!(f, "{vantage} does not know"),
            (verdict, _) => write!(f, "{vantage} {verdict}"),
        }
    }
}
