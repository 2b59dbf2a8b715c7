//! What a zone as a whole must hold (RFC 1034, 2181, 4592, 6672), beyond single records.

mod aliases;
mod cuts;
mod targets;

use std::path::Path;

use super::files::{Files, Open};
use super::findings::{Finding, Findings};
use super::rdata::TypeName;
use super::records::{Record, Records};
use crate::diagnostic::{Diagnostics, Severity};
use crate::name::{self, Name};

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const MX: u16 = 15;
const SIG: u16 = 24;
const KEY: u16 = 25;
const AAAA: u16 = 28;
const NXT: u16 = 30;
const SRV: u16 = 33;
const DNAME: u16 = 39;
const DS: u16 = 43;
const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const HTTPS: u16 = 65;

/// The wildcard label, with its length (RFC 4592 section 2.1.1).
const WILDCARD: &[u8] = b"\x01*";

/// What is checked.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// The zone's apex.
    pub origin: &'a Name,
    /// All records, sorted.
    pub records: &'a Records,
    /// What services answer.
    pub steered: &'a [Steered],
    /// The files the records are from.
    pub files: &'a Files,
    /// Whether the files were read without a mistake. If not, nothing is said about what is
    /// missing: it may stand in a line that could not be read.
    pub complete: bool,
}

/// A name that a service answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steered {
    /// The owner name, whose A, AAAA and CNAME records it answers.
    pub owner: Name,
    /// Whether it answers HTTPS too.
    pub https: bool,
}

/// Checks a zone's content; `open` gives the files again for the lines that are shown.
pub fn check(content: &Content<'_>, open: &mut Open<'_>) -> Diagnostics {
    let mut steered: Vec<(&[u8], bool)> =
        content.steered.iter().map(|steered| (steered.owner.as_wire(), steered.https)).collect();
    steered.sort_unstable();
    let mut check = Check {
        origin: content.origin.as_wire(),
        records: content.records,
        files: content.files,
        steered,
        complete: content.complete,
        findings: Findings::default(),
        cuts: Vec::new(),
        dnames: Vec::new(),
        cnames: Vec::new(),
        pointers: Vec::new(),
    };
    if content.records.is_empty() {
        check.missing(0, "the zone has no records", "a zone has at least SOA and NS records");
    } else {
        check.owners();
        check.apex();
        check.below_cuts();
        check.targets();
        check.alias_loops();
    }
    content.files.diagnose(&check.findings, open)
}

struct Check<'a> {
    origin: &'a [u8],
    records: &'a Records,
    files: &'a Files,
    /// Owners of services, sorted, and whether HTTPS is answered there too.
    steered: Vec<(&'a [u8], bool)>,
    complete: bool,
    findings: Findings,
    /// Owners of NS records below the apex, sorted.
    cuts: Vec<&'a [u8]>,
    /// Owners of DNAME records, sorted.
    dnames: Vec<&'a [u8]>,
    /// CNAME records by owner.
    cnames: Vec<Record<'a>>,
    /// Indices of NS, MX and SRV records.
    pointers: Vec<u32>,
}

impl<'a> Check<'a> {
    /// Checks each owner name by itself, and notes what the other checks need.
    fn owners(&mut self) {
        let mut start = 0;
        while let Some(first) = self.records.get(start) {
            let records = self.records;
            let same = |record: &Record<'_>| record.owner == first.owner;
            let end = start + records.iter_from(start).take_while(same).count();
            if name::is_at_or_below(first.owner, self.origin) {
                self.owner(start..end);
            } else {
                for record in records.iter_from(start).take(end - start) {
                    let what = format!("{} is outside the zone", shown(record.owner));
                    let hint = format!("every owner ends in {}", shown(self.origin));
                    self.error(&record, || what, &hint);
                }
            }
            start = end;
        }
    }

    fn owner(&mut self, range: std::ops::Range<usize>) {
        let records = self.records;
        let all = || records.iter_from(range.start).take(range.len());
        let mut previous: Option<Record<'a>> = None;
        let (mut cname, mut other) = (None, None);
        for (index, record) in all().enumerate() {
            match previous.filter(|previous| previous.rtype == record.rtype) {
                Some(previous) => self.same_set(&previous, &record),
                None => self.first_of_set(&record),
            }
            match record.rtype {
                CNAME => {
                    cname = Some(record);
                    self.cnames.push(record);
                }
                NS | MX | SRV => self.pointers.push((range.start + index) as u32),
                _ => {}
            }
            // RFC 2181 section 10.1, with the types of RFC 4035 section 2.5 for 2535's.
            if !matches!(record.rtype, CNAME | RRSIG | NSEC | SIG | KEY | NXT) {
                other = other.or(Some(record));
            }
            previous = Some(record);
        }
        if let (Some(cname), Some(other)) = (cname, other) {
            self.not_alone(&cname, &other);
        }
    }

    /// Two records of one RRset, one after the other.
    fn same_set(&mut self, first: &Record<'a>, second: &Record<'a>) {
        // RFC 4034 section 3: RRSIG records of one owner have the TTL of what they sign.
        if first.ttl != second.ttl && !matches!(first.rtype, RRSIG | SIG) {
            let what = || {
                format!(
                    "TTL {} differs from TTL {} on {} of the same RRset",
                    second.ttl,
                    first.ttl,
                    self.files.line(first, second)
                )
            };
            let what = what();
            self.error(second, || what, "all records of an owner and type have one TTL");
        }
        if matches!(first.rtype, CNAME | DNAME | SOA) {
            let what = format!(
                "a second `{}` record of {}: the other is on {}",
                TypeName(first.rtype),
                shown(first.owner),
                self.files.line(first, second)
            );
            self.error(second, || what, "at most one at a name");
        }
    }

    /// What is said once about an RRset, at its first record.
    fn first_of_set(&mut self, record: &Record<'a>) {
        let apex = record.owner == self.origin;
        let wildcard = record.owner.starts_with(WILDCARD);
        match record.rtype {
            SOA if !apex => {
                let what =
                    || format!("SOA record at {}, which is not the apex", shown(record.owner));
                let hint = format!("the zone's apex is {}", shown(self.origin));
                self.error(record, what, &hint);
            }
            NS if !apex => {
                self.cuts.push(record.owner);
                if wildcard {
                    let what = || format!("NS record at the wildcard {}", shown(record.owner));
                    self.warning(record, what, "what it means is undefined, RFC 4592 section 4.2");
                }
            }
            DS if apex => {
                // RFC 4035 section 2.4.
                let what = || format!("DS record at the apex {}", shown(record.owner));
                self.error(record, what, "it belongs in the parent zone");
            }
            // NS comes before DS in the order of types.
            DS if self.cuts.last() != Some(&record.owner) => {
                let what =
                    || format!("DS record at {}, which is not delegated", shown(record.owner));
                self.warning(record, what, "it stands beside the NS records of a delegation");
            }
            DNAME => {
                self.dnames.push(record.owner);
                if wildcard {
                    let what = || format!("DNAME record at the wildcard {}", shown(record.owner));
                    self.error(record, what, "RFC 4592 section 4.4 rules it out");
                }
                if !apex && self.cuts.last() == Some(&record.owner) {
                    let what = || format!("DNAME and NS records at {}", shown(record.owner));
                    self.error(record, what, "only the apex may have both, RFC 6672 section 2.3");
                }
            }
            _ => {}
        }
        let answered = match record.rtype {
            A | AAAA | CNAME => self.is_steered(record.owner),
            HTTPS => self.steered.binary_search(&(record.owner, true)).is_ok(),
            _ => false,
        };
        if answered {
            let (owner, rtype) = (shown(record.owner), TypeName(record.rtype));
            let what = || format!("a service answers for {owner}, which has `{rtype}` records too");
            let master = self.files.shown(0).map_or(Path::new(""), |file| Path::new(&**file));
            let services = master.with_extension("toml");
            self.error(record, what, &format!("it is in {}; keep one of them", services.display()));
        }
    }

    fn not_alone(&mut self, cname: &Record<'a>, other: &Record<'a>) {
        let what = format!(
            "{} has a CNAME record and other data: `{}` on {}",
            shown(cname.owner),
            TypeName(other.rtype),
            self.files.line(other, cname)
        );
        self.error(cname, || what, "a CNAME record stands alone, RFC 2181 section 10.1");
    }

    /// SOA and NS at the apex.
    fn apex(&mut self) {
        let mut soa = None;
        let mut ns = false;
        for record in self.records.at_owner(self.origin) {
            match record.rtype {
                SOA => soa = soa.or(Some(record)),
                NS => ns = true,
                _ => {}
            }
        }
        let origin = shown(self.origin);
        if soa.is_none() {
            self.missing(
                0,
                &format!("no SOA record at the apex {origin}"),
                "start the zone with one",
            );
        }
        if !ns {
            let line = soa.filter(|soa| soa.file == 0).map_or(0, |soa| soa.line);
            let what = format!("no NS record at the apex {origin}");
            self.missing(line, &what, "name the servers of the zone");
        }
    }

    fn is_steered(&self, owner: &[u8]) -> bool {
        self.steered.binary_search_by_key(&owner, |(owner, _)| owner).is_ok()
    }

    fn error(&mut self, record: &Record<'_>, what: impl FnOnce() -> String, hint: &str) {
        self.find(Severity::Error, record, what, hint);
    }

    fn warning(&mut self, record: &Record<'_>, what: impl FnOnce() -> String, hint: &str) {
        self.find(Severity::Warning, record, what, hint);
    }

    fn find(
        &mut self,
        severity: Severity,
        record: &Record<'_>,
        what: impl FnOnce() -> String,
        hint: &str,
    ) {
        let (file, line) = (record.file, record.line);
        let hint = Some(hint).filter(|hint| !hint.is_empty());
        self.findings.push(file, severity, || Finding {
            severity,
            file,
            line,
            what: what(),
            hint: hint.map(str::to_owned),
        });
    }

    /// An error about what is not there, at a line of the master file or (0) at all of it.
    fn missing(&mut self, line: u32, what: &str, hint: &str) {
        if self.complete {
            let severity = Severity::Error;
            let (what, hint) = (what.to_owned(), Some(hint.to_owned()));
            self.findings.push(0, severity, || Finding { severity, file: 0, line, what, hint });
        }
    }
}

/// A name in a message.
fn shown(wire: &[u8]) -> String {
    format!("`{}`", name::decode(wire))
}

/// The names above `owner` down from the closest, without the root's zero octet alone.
fn ancestors(owner: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = owner;
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first().filter(|(length, _)| **length > 0)?;
        rest = tail.get(usize::from(*length)..)?;
        Some(rest)
    })
}

#[cfg(test)]
mod tests;
