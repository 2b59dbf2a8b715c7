//! Resolves a question in a zone, and writes the sections of the reply.

mod additional;
mod challenge;

use std::net::{IpAddr, SocketAddr};

use self::additional::Pointing;
use super::rcode;
use crate::acme::Challenges;
use crate::dns::draws::{Random, Shared};
use crate::dns::edns::{ClientSubnet, ede};
use crate::dns::wire::{Parsed, QUESTION_AT};
use crate::dns::writer::{Full, Writer};
use crate::name::NAME_MAX;
use crate::snapshot::{EDE_OTHER, Family, Located, ServedZone, ServiceAnswers, SteeredKind};
use crate::zone::{Found, Node, QueryName, Rrset, Zone, rtype};

/// Most names of a chain of CNAME and DNAME, the question's among them; beyond it the resolver
/// asks on by itself. Longer chains are mistakes or loops.
const CHAIN_MAX: usize = 16;
/// Owner, type, class, TTL and RDATA length of a record whose owner is a pointer.
const RECORD_FIXED: usize = 12;
/// Octets of the SOA's numbers, of which the serial is the first (RFC 1035 section 3.3.13).
const SOA_NUMBERS: usize = 20;
/// Highest offset a compression pointer reaches, plus one (RFC 1035 section 4.1.4).
const POINTER_END: usize = 0x4000;

/// What a reply consists of, beside the octets of its sections.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Outcome {
    pub rcode: u16,
    pub authoritative: bool,
    pub truncated: bool,
    pub answers: u16,
    pub authorities: u16,
    pub additionals: u16,
    /// The longest scope of the steered names that were touched.
    pub scope: u8,
    /// Likewise, of those that went by the client subnet.
    pub subnet_scope: u8,
    pub ede: Option<u16>,
    pub service: Option<u32>,
    pub region: Option<u16>,
    /// Whether the geo databases know where the client is; `None`: nobody asked.
    pub matched: Option<bool>,
    /// Whether everything behind a steered name was down.
    pub all_down: bool,
    /// Whether it goes to a runner-up.
    pub explored: bool,
    /// The zone that was said to have changed.
    pub notified: Option<u32>,
}

impl Outcome {
    /// Forgets the records, as truncation (RFC 2181 section 9) and failure do.
    pub(super) fn clear_sections(&mut self) {
        (self.answers, self.authorities, self.additionals) = (0, 0, 0);
    }

    /// Says that it comes from old data, unless there is something else to say.
    pub(super) fn add_stale(&mut self) {
        let stale = if self.rcode == rcode::NXDOMAIN { ede::STALE_NXDOMAIN } else { ede::STALE };
        self.ede = self.ede.or(Some(stale));
    }
}

/// Whom an answer is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clients<'c> {
    /// Who asks.
    pub resolver: &'c SocketAddr,
    /// For whom, as the node believes it.
    pub subnet: Option<&'c ClientSubnet>,
}

impl Clients<'_> {
    /// The client of a service, and whether the client subnet says who that is.
    fn of(self, answers: &ServiceAnswers) -> (IpAddr, bool) {
        let resolver = self.resolver.ip();
        let subnet = self.subnet.and_then(|subnet| subnet.address);
        match subnet.filter(|_| answers.believes(resolver)) {
            Some(client) => (client, true),
            None => (resolver, false),
        }
    }
}

/// One question under way.
pub(super) struct Resolver<'a, 'w, 'o> {
    zone: &'a Zone,
    served: &'a ServedZone,
    parsed: &'a Parsed,
    clients: Clients<'a>,
    random: Random<'a>,
    writer: &'w mut Writer<'o>,
    outcome: &'w mut Outcome,
    /// What certificate authorities ask for.
    challenges: &'a Challenges,
    /// Records of the answer section that point to names.
    pointing: Option<Pointing>,
}

impl<'a, 'w, 'o> Resolver<'a, 'w, 'o> {
    pub(super) fn new(
        (served, challenges): (&'a ServedZone, &'a Challenges),
        parsed: &'a Parsed,
        clients: Clients<'a>,
        random: Random<'a>,
        writer: &'w mut Writer<'o>,
        outcome: &'w mut Outcome,
    ) -> Self {
        outcome.authoritative = true;
        let (zone, pointing) = (&served.zone, None);
        Self { zone, served, parsed, clients, random, writer, outcome, challenges, pointing }
    }

    /// Writes answer, authority and additional section.
    pub(super) fn run(mut self) {
        let first = self.step(&self.parsed.name, self.parsed.hash, QUESTION_AT);
        let all = match first {
            Ok(Some(target)) => self.follow(target),
            first => first.map(|_| ()),
        };
        self.outcome.truncated = all.is_err();
        if let Some(pointing) = self.pointing.filter(|_| !self.outcome.truncated) {
            self.add_addresses(pointing);
        }
    }

    /// Follows a chain of aliases whose next name is at offset `at`, as long as it stays in the
    /// zone (RFC 1034 section 4.3.2 step 3a; zones beside this one are the resolver's to ask).
    fn follow(&mut self, mut at: usize) -> Result<(), Full> {
        let zone = self.zone;
        let mut name = QueryName::default();
        let mut seen = [QUESTION_AT; CHAIN_MAX];
        for link in 1..CHAIN_MAX {
            let length = name.read(self.writer.written(at));
            let inside = name.below(zone.apex().as_wire(), zone.apex_labels()).is_some();
            let looped = || {
                let earlier = seen.iter().take(link).map(|earlier| self.writer.written(*earlier));
                earlier
                    .filter_map(|wire| wire.get(..name.as_wire().len()))
                    .any(|wire| wire.eq_ignore_ascii_case(name.as_wire()))
            };
            if length.is_none() || !inside || at >= POINTER_END || looped() {
                return Ok(());
            }
            let Some(next) = self.step(&name, zone.hash(&name), at)? else { return Ok(()) };
            if let Some(place) = seen.get_mut(link) {
                *place = at;
            }
            at = next;
        }
        Ok(())
    }

    /// Answers for one name, which is written at offset `at`; gives the offset of the name to go
    /// on with when it is an alias.
    fn step(&mut self, name: &QueryName, hash: u64, at: usize) -> Result<Option<usize>, Full> {
        let found = self.zone.look_up(name, hash);
        if self.challenged(name, found, at)? {
            return Ok(None);
        }
        match found {
            Found::Name(node) => self.data(node, at),
            // RFC 4035 section 3.1.4.1: at the cut itself the parent answers for DS.
            Found::Cut(node, 0) if self.parsed.qtype == rtype::DS => self.data(node, at),
            Found::Cut(node, label) => self.referral(node, name, label, at).map(|()| None),
            Found::Dname(node, label) => self.dname(node, name, label, at),
            Found::Nothing => {
                // RFC 6604 section 3: the rcode of a chain is that of its last name.
                self.outcome.rcode = rcode::NXDOMAIN;
                self.negative(u32::MAX).map(|()| None)
            }
        }
    }

    /// Answers from the data of a name.
    fn data(&mut self, node: Node<'a>, at: usize) -> Result<Option<usize>, Full> {
        let qtype = self.parsed.qtype;
        if qtype == rtype::ANY {
            return self.any(node, at);
        }
        if let Some(service) = node.service() {
            let answers = self.served.services.get(service as usize);
            let alias = answers.is_some_and(|answers| answers.is_alias());
            let https = answers.is_some_and(|answers| answers.answers_https());
            let wanted = match qtype {
                rtype::A => Some(Wanted::Address(Family::V4)),
                rtype::AAAA => Some(Wanted::Address(Family::V6)),
                // An alias stands for all types of its name (RFC 1034 section 3.6.2).
                _ if alias => Some(Wanted::Address(Family::V4)),
                rtype::HTTPS if https => Some(Wanted::Https),
                _ => None,
            };
            if let Some(wanted) = wanted {
                return match self.steered(service, &[wanted], at)? {
                    Steering::Alias(target) if qtype != rtype::CNAME => Ok(Some(target)),
                    Steering::Alias(_) | Steering::Done => Ok(None),
                    Steering::Empty(ttl_max) => self.negative(ttl_max).map(|()| None),
                };
            }
        }
        if let Some(rrset) = node.rrset(qtype) {
            self.answer_rrset(rrset, at)?;
            return Ok(None);
        }
        if node.is_alias()
            && let Some(rrset) = node.rrset(rtype::CNAME)
        {
            // RFC 1034 section 3.6.2.
            return self.answer_rrset(rrset, at).map(|start| Some(start + RECORD_FIXED));
        }
        self.negative(u32::MAX).map(|()| None)
    }

    /// Answers type ANY with one RRset, the shortest (RFC 8482 section 4.1), or with the addresses
    /// of a steered name.
    fn any(&mut self, node: Node<'a>, at: usize) -> Result<Option<usize>, Full> {
        let mut ttl_max = u32::MAX;
        if let Some(service) = node.service() {
            let both = [Family::V4, Family::V6].map(Wanted::Address);
            match self.steered(service, &both, at)? {
                // An alias answers ANY as it is (RFC 1034 section 3.6.2).
                Steering::Done | Steering::Alias(_) => return Ok(None),
                Steering::Empty(bound) => ttl_max = bound,
            }
        }
        match node.rrsets().min_by_key(|rrset| rrset.wire.map_or(usize::MAX, <[u8]>::len)) {
            Some(rrset) => self.answer_rrset(rrset, at).map(|_| None),
            None => self.negative(ttl_max).map(|()| None),
        }
    }

    /// The client of a service, and where he is; both scopes take note.
    fn locate(&mut self, answers: &ServiceAnswers) -> (IpAddr, Located) {
        let (client, by_subnet) = self.clients.of(answers);
        let located = answers.locate(client);
        // RFC 7871 section 7.2.1: the scope covers all that the reply holds.
        self.outcome.scope = self.outcome.scope.max(located.scope);
        if by_subnet {
            self.outcome.subnet_scope = self.outcome.subnet_scope.max(located.scope);
        }
        (client, located)
    }

    /// Lets a service answer for the first of `wanted` it has something for.
    fn steered(&mut self, service: u32, wanted: &[Wanted], at: usize) -> Result<Steering, Full> {
        let served = self.served;
        let Some(answers) = served.services.get(service as usize) else {
            self.fail();
            return Ok(Steering::Done);
        };
        let (client, located) = self.locate(answers);
        self.outcome.service = Some(service);
        self.outcome.matched = located.matched.or(self.outcome.matched);
        let mut ttl_max = u32::MAX;
        for wanted in wanted {
            let random = self.random_for(answers, client, located);
            let (owner, rest) = (pointer(at), self.writer.rest());
            let steered = match wanted {
                Wanted::Address(family) => {
                    answers.answer(*family, located, client, random, owner, rest)
                }
                Wanted::Https => answers.answer_https(located, client, random, owner, rest),
            };
            self.outcome.ede = steered.ede.or(self.outcome.ede);
            // A service has no other extended error to tell.
            self.outcome.all_down |= steered.ede == Some(EDE_OTHER);
            self.outcome.region = steered.region.or(self.outcome.region);
            self.outcome.explored |= steered.explored;
            match steered.kind {
                SteeredKind::Records { count, length } => {
                    self.writer.advance(length);
                    self.outcome.answers += count;
                    return Ok(Steering::Done);
                }
                SteeredKind::Cname { target, ttl } => {
                    let start = self.alias(at, ttl, &[target.as_wire()])?;
                    return Ok(Steering::Alias(start));
                }
                SteeredKind::NoData { ttl_max: bound } => ttl_max = ttl_max.min(bound),
                SteeredKind::ServFail => {
                    self.fail();
                    return Ok(Steering::Done);
                }
                SteeredKind::NoSpace => return Err(Full),
            }
        }
        Ok(Steering::Empty(ttl_max))
    }

    /// The random number for the question's type, shared with the client's queries of other types
    /// where those must meet the same chance.
    fn random_for(&self, answers: &ServiceAnswers, client: IpAddr, located: Located) -> u64 {
        let shares = |family| answers.shares_draw(family, located);
        let shared = match self.parsed.qtype {
            rtype::A if shares(Family::V4) => Shared::A,
            rtype::AAAA if shares(Family::V6) => Shared::Aaaa,
            rtype::HTTPS if shares(Family::V4) || shares(Family::V6) => Shared::Https,
            _ => return self.random.number(),
        };
        self.random.paired(client, self.parsed.hash, shared)
    }

    /// Redirects a name below a DNAME (RFC 6672 section 3.2 step 3c).
    fn dname(
        &mut self,
        node: Node<'a>,
        name: &QueryName,
        label: usize,
        at: usize,
    ) -> Result<Option<usize>, Full> {
        let Some(rrset) = node.rrset(rtype::DNAME) else { return Ok(None) };
        let Some((_, target)) = rrset.records().next() else { return Err(Full) };
        // A chain may come by twice; records of a set are unique (RFC 2181 section 5).
        if !self.holds_dname(name.suffix(label), target) {
            self.answer_rrset(rrset, at + name.offset(label))?;
        }
        // The name as it is written, so that the case of the question is kept.
        let mut prefix = [0; NAME_MAX];
        let length = name.offset(label);
        let (Some(prefix), Some(written)) =
            (prefix.get_mut(..length), self.writer.written(at).get(..length))
        else {
            return Ok(None);
        };
        prefix.copy_from_slice(written);
        if length + target.len() > NAME_MAX {
            // RFC 6672 section 2.2.
            self.outcome.rcode = rcode::YXDOMAIN;
            return Ok(None);
        }
        // RFC 6672 section 3.1: the synthesised CNAME has the TTL of the DNAME.
        let start = self.alias(at, rrset.ttl(), &[prefix, target])?;
        // Who asks for CNAME or any type has it now (RFC 1034 section 3.6.2).
        Ok((!matches!(self.parsed.qtype, rtype::CNAME | rtype::ANY)).then_some(start))
    }

    /// Whether the answer section already has the DNAME of this owner and target.
    fn holds_dname(&self, owner: &[u8], target: &[u8]) -> bool {
        let mut at = self.parsed.question_end;
        for _ in 0..self.outcome.answers {
            let Some((fixed, rest)) = self.writer.written(at).split_first_chunk() else { break };
            let [o0, o1, t0, t1, _, _, _, _, _, _, l0, l1]: [u8; RECORD_FIXED] = *fixed;
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            let owner_at = usize::from(u16::from_be_bytes([o0, o1])) & (POINTER_END - 1);
            let held = self.writer.written(owner_at).get(..owner.len());
            if u16::from_be_bytes([t0, t1]) == rtype::DNAME
                && held.is_some_and(|held| held.eq_ignore_ascii_case(owner))
                && rest.get(..length) == Some(target)
            {
                return true;
            }
            at += RECORD_FIXED + length;
        }
        false
    }

    /// Refers to the servers of a delegation (RFC 1034 section 4.3.2 step 3b).
    fn referral(
        &mut self,
        cut: Node<'a>,
        name: &QueryName,
        label: usize,
        at: usize,
    ) -> Result<(), Full> {
        let Some(servers) = cut.rrset(rtype::NS) else { return Ok(()) };
        // RFC 1035 section 4.1.1: AA speaks of the first owner name in the answer section.
        self.outcome.authoritative = self.outcome.answers > 0;
        let start = self.put_rrset(servers, at + name.offset(label))?;
        self.outcome.authorities += servers.count;
        // RFC 9471 section 3: glue for servers in the delegated zone must be there; that of other
        // names of this zone only helps, and comes after it.
        for needed in [true, false] {
            for (offset, rdata) in servers.records() {
                let target_at = start + offset + RECORD_FIXED;
                let glue = self.glue(name.suffix(label), rdata, target_at, needed);
                if needed {
                    glue?;
                }
            }
        }
        Ok(())
    }

    /// Adds the addresses of one name server, when it is in this zone and, or but not, in `cut`.
    fn glue(&mut self, cut: &[u8], target: &[u8], at: usize, in_cut: bool) -> Result<(), Full> {
        let zone = self.zone;
        let mut name = QueryName::default();
        let known = name.read(target).is_some()
            && name.below(zone.apex().as_wire(), zone.apex_labels()).is_some()
            && crate::name::is_at_or_below(name.as_wire(), cut) == in_cut
            && at < POINTER_END;
        let Some(node) = known.then(|| zone.glue(&name)).flatten() else { return Ok(()) };
        for address in [rtype::A, rtype::AAAA] {
            if let Some(rrset) = node.rrset(address) {
                self.put_rrset(rrset, at)?;
                self.outcome.additionals += rrset.count;
            }
        }
        Ok(())
    }

    /// Says that there is no such data: the SOA in the authority section (RFC 2308 section 3),
    /// with a TTL of at most `ttl_max`.
    fn negative(&mut self, ttl_max: u32) -> Result<(), Full> {
        let Some(soa) = self.zone.negative_soa() else { return Ok(()) };
        let question = &self.parsed.name;
        let apex = question.label_count().saturating_sub(self.zone.apex_labels());
        let owner = pointer(QUESTION_AT + question.offset(apex)).to_be_bytes();
        let start = self.writer.put(&soa.wire)?;
        for offset in &soa.pointers {
            self.writer.patch(start + usize::from(*offset), &owner);
        }
        self.writer.patch(start + 6, &soa.ttl.min(ttl_max).to_be_bytes());
        self.serial();
        self.outcome.authorities += 1;
        Ok(())
    }

    /// SERVFAIL without records.
    fn fail(&mut self) {
        self.outcome.rcode = rcode::SERVFAIL;
        self.outcome.authoritative = false;
        self.outcome.clear_sections();
        self.writer.cut(self.parsed.question_end);
    }

    /// Writes a CNAME for the name at `at` whose target is `parts` in a row; returns where the
    /// target begins.
    fn alias(&mut self, at: usize, ttl: u32, parts: &[&[u8]]) -> Result<usize, Full> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let ([o0, o1], [t0, t1, t2, t3]) = (pointer(at).to_be_bytes(), ttl.to_be_bytes());
        let [l0, l1] = (length as u16).to_be_bytes();
        let start = self.writer.put(&[o0, o1, 0, 5, 0, 1, t0, t1, t2, t3, l0, l1])?;
        for part in parts {
            self.writer.put(part)?;
        }
        self.outcome.answers += 1;
        Ok(start + RECORD_FIXED)
    }

    /// Writes an RRset of the name at `at` to the answer section; returns where it begins.
    fn answer_rrset(&mut self, rrset: Rrset<'_>, at: usize) -> Result<usize, Full> {
        let start = self.put_rrset(rrset, at)?;
        if rrset.rtype == rtype::SOA {
            self.serial();
        }
        self.outcome.answers += rrset.count;
        // RFC 8482 section 4.1: an answer to ANY is as small as it can be.
        if self.parsed.qtype != rtype::ANY {
            self.pointing = Pointing::new(rrset, start);
        }
        Ok(start)
    }

    /// Gives the SOA that was written last the serial that transfers have too.
    fn serial(&mut self) {
        let at = self.writer.at().saturating_sub(SOA_NUMBERS);
        self.writer.patch(at, &self.served.serial.to_be_bytes());
    }

    /// Writes an RRset whose owner name is written at offset `at`; returns where it begins.
    fn put_rrset(&mut self, rrset: Rrset<'_>, at: usize) -> Result<usize, Full> {
        let start = self.writer.put(rrset.wire.ok_or(Full)?)?;
        if at != QUESTION_AT {
            for (offset, _) in rrset.records() {
                self.writer.patch(start + offset, &pointer(at).to_be_bytes());
            }
        }
        Ok(start)
    }
}

/// What a service is asked for.
#[derive(Clone, Copy)]
enum Wanted {
    /// Addresses.
    Address(Family),
    /// HTTPS records.
    Https,
}

/// What a service made of a question.
enum Steering {
    /// The answer is written.
    Done,
    /// A CNAME is written; its target is at this offset.
    Alias(usize),
    /// It has no address of the family; the negative TTL has this bound.
    Empty(u32),
}

/// A compression pointer (RFC 1035 section 4.1.4) to an offset below [`POINTER_END`].
fn pointer(at: usize) -> u16 {
    0xc000 | at as u16
}
