//! Where NS, MX and SRV records of the zone point to within it.

use super::{A, AAAA, CNAME, Check, MX, NS, SRV, WILDCARD, ancestors, shown};
use crate::name;
use crate::zone::rdata::TypeName;
use crate::zone::records::Record;

/// What a name in the zone has to offer to who is sent there.
enum Target<'a> {
    /// Addresses, of its own or from a wildcard.
    Addresses,
    /// An alias.
    Alias(Record<'a>),
    /// Nothing.
    Nothing,
}

impl<'a> Check<'a> {
    /// Name servers need addresses, glue where they are below the cut, and are no aliases.
    pub(super) fn targets(&mut self) {
        for index in std::mem::take(&mut self.pointers) {
            let Some(record) = self.records.get(index as usize) else { continue };
            let target = record.rdata.get(name_offset(record.rtype)..).unwrap_or_default();
            let target = target.to_ascii_lowercase();
            if !name::is_at_or_below(&target, self.origin) || target.len() < 2 {
                continue;
            }
            match self.target(&target) {
                Target::Alias(alias) => self.is_alias(&record, &target, &alias),
                Target::Nothing if self.complete => self.has_no_address(&record, &target),
                Target::Addresses | Target::Nothing => {}
            }
        }
    }

    fn target(&self, target: &[u8]) -> Target<'a> {
        let mut alias = None;
        for record in self.records.at_owner(target) {
            match record.rtype {
                A | AAAA => return Target::Addresses,
                CNAME => alias = Some(record),
                _ => {}
            }
        }
        if let Some(alias) = alias {
            return Target::Alias(alias);
        }
        let in_zone = ancestors(target).take_while(|name| name.len() >= self.origin.len());
        let mut wildcards = in_zone.map(|name| [WILDCARD, name].concat());
        let below_cut = self.cut_of(target).is_some();
        let covered = !below_cut
            && wildcards.any(|wildcard| {
                let mut there = self.records.at_owner(&wildcard);
                self.is_steered(&wildcard) || there.any(|r| matches!(r.rtype, A | AAAA | CNAME))
            });
        if covered || self.is_steered(target) { Target::Addresses } else { Target::Nothing }
    }

    /// The cut a name is at or below, if any.
    fn cut_of(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut all = std::iter::once(name).chain(ancestors(name));
        let at = all.find_map(|name| self.cuts.binary_search(&name).ok());
        at.and_then(|at| self.cuts.get(at).copied())
    }

    fn is_alias(&mut self, record: &Record<'_>, target: &[u8], alias: &Record<'_>) {
        let what = format!(
            "the `{}` record of {} points to {}, an alias by the CNAME record on {}",
            TypeName(record.rtype),
            shown(record.owner),
            shown(target),
            self.files.line(alias, record)
        );
        let hint = "name the host itself, RFC 2181 section 10.3";
        match record.rtype {
            NS => self.error(record, || what, hint),
            _ => self.warning(record, || what, hint),
        }
    }

    fn has_no_address(&mut self, record: &Record<'_>, target: &[u8]) {
        let (owner, shown_target) = (shown(record.owner), shown(target));
        let delegated = record.rtype == NS && record.owner != self.origin;
        if delegated && name::is_at_or_below(target, record.owner) {
            let what = || format!("{owner} is delegated to {shown_target}, which has no glue");
            let hint = "resolvers cannot ask a name server below the cut without its address here";
            self.error(record, what, hint);
        } else if self.cut_of(target).is_none() || delegated {
            let what = || {
                format!(
                    "the `{}` record of {owner} points to {shown_target}, which has no address",
                    TypeName(record.rtype)
                )
            };
            self.warning(record, what, "add an `A` or `AAAA` record");
        }
    }
}

/// Where the target name starts in the RDATA.
fn name_offset(rtype: u16) -> usize {
    match rtype {
        MX => 2,
        SRV => 6,
        _ => 0,
    }
}
