//! Data below zone cuts and DNAME records.

use std::collections::HashSet;

use super::{A, AAAA, Check, DNAME, DS, NS, NSEC, RRSIG, ancestors, shown};
use crate::name;
use crate::zone::rdata::TypeName;
use crate::zone::records::Record;

/// What hides a name.
#[derive(Clone, Copy)]
enum Above<'a> {
    Cut(&'a [u8]),
    Dname(&'a [u8]),
}

impl<'a> Check<'a> {
    /// Nothing is below a DNAME (RFC 6672 section 2.4), and only glue below a cut (RFC 1034
    /// section 4.2.1).
    pub(super) fn below_cuts(&mut self) {
        if self.cuts.is_empty() && self.dnames.is_empty() {
            return;
        }
        let glue = self.glue_names();
        let records = self.records;
        for record in records.iter() {
            match self.above(record.owner) {
                Some(Above::Dname(dname)) => self.below_dname(&record, dname),
                Some(Above::Cut(cut)) => self.below_cut(&record, cut, &glue),
                None => {}
            }
        }
        for (owner, _) in self.steered.clone() {
            let (above, what) = match self.above(owner) {
                Some(Above::Dname(above)) => (above, "below the DNAME record of"),
                Some(Above::Cut(above)) => (above, "in the zone delegated at"),
                None => continue,
            };
            let mut there = records.at_owner(above);
            if let Some(record) = there.find(|record| matches!(record.rtype, NS | DNAME)) {
                let what = || format!("the service at {} is {what} {}", shown(owner), shown(above));
                self.error(&record, what, "it would never be asked for");
            }
        }
    }

    /// The highest cut or DNAME the name is hidden by; a cut hides other types at itself too.
    fn above(&self, owner: &[u8]) -> Option<Above<'a>> {
        let in_zone = owner.len() > self.origin.len() && name::is_at_or_below(owner, self.origin);
        let mut found = None;
        if !in_zone {
            return None;
        }
        let known = |list: &[&'a [u8]], name: &[u8]| {
            list.binary_search(&name).ok().and_then(|at| list.get(at).copied())
        };
        if let Some(cut) = known(&self.cuts, owner) {
            found = Some(Above::Cut(cut));
        }
        for name in ancestors(owner).take_while(|name| name.len() >= self.origin.len()) {
            if let Some(dname) = known(&self.dnames, name) {
                found = Some(Above::Dname(dname));
            } else if let Some(cut) = known(&self.cuts, name) {
                found = Some(Above::Cut(cut));
            }
        }
        found
    }

    /// Targets of the delegations, in lower case: the names that may have glue.
    fn glue_names(&self) -> HashSet<Vec<u8>> {
        let pointers = self.pointers.iter().filter_map(|index| self.records.get(*index as usize));
        let delegations = pointers.filter(|record| record.rtype == NS);
        delegations.map(|record| record.rdata.to_ascii_lowercase()).collect()
    }

    fn below_dname(&mut self, record: &Record<'_>, dname: &[u8]) {
        let what =
            || format!("{} is below the DNAME record of {}", shown(record.owner), shown(dname));
        self.error(record, what, "nothing may stand there, RFC 6672 section 2.4");
    }

    fn below_cut(&mut self, record: &Record<'_>, cut: &[u8], glue: &HashSet<Vec<u8>>) {
        let at_cut = record.owner == cut;
        let allowed = match record.rtype {
            A | AAAA => glue.contains(record.owner),
            // DNAME beside NS is an error of its own.
            NS | DS | NSEC | RRSIG | DNAME => at_cut,
            _ => false,
        };
        if allowed {
            return;
        }
        let what = || {
            format!(
                "the `{}` record of {} is never answered: {} is delegated",
                TypeName(record.rtype),
                shown(record.owner),
                shown(cut)
            )
        };
        self.warning(record, what, "only addresses of its name servers belong here, as glue");
    }
}
