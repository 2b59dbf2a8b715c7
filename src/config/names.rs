//! What names of one kind exist, and what a reference to one of them means.

use std::collections::{BTreeMap, BTreeSet};

use super::sheet::Sheet;
use super::spec::Named;
use super::value::{Fault, name};
use super::wording::choice;

/// The names of one kind, each with its id: its place in the order of names, so that every node
/// numbers alike.
pub(super) struct Names<Id> {
    kind: &'static str,
    ids: BTreeMap<String, Id>,
    /// Names of what is there but could not be read.
    lost: BTreeSet<String>,
    /// Whether any name may exist, because the file could not be read as a whole.
    lenient: bool,
}

impl<Id: Copy> Names<Id> {
    /// The names of the tables `[kind.NAME]`; says which are no names.
    pub(super) fn of<T>(
        kind: &'static str,
        tables: &Named<T>,
        sheet: &mut Sheet,
        id: impl Fn(u16) -> Id,
    ) -> Self {
        let mut ids = BTreeMap::new();
        for (index, key) in tables.keys().enumerate() {
            if let Err(fault) = name(key.get_ref()) {
                sheet.error(key.span(), fault);
            }
            match u16::try_from(index) {
                Ok(index) => {
                    ids.insert(key.get_ref().clone(), id(index));
                }
                Err(_) => sheet.error(key.span(), Fault::new(format!("more than 65536 {kind}s"))),
            }
        }
        let lost = sheet.lost_names(kind).map(str::to_owned).collect();
        Self { kind, ids, lost, lenient: sheet.lost_table(kind) }
    }

    /// The id of a name; `None` when it exists, or may exist, but could not be read.
    pub(super) fn find(&self, name: &str) -> Result<Option<Id>, Fault> {
        let Self { kind, ids, lost, lenient } = self;
        if let Some(id) = ids.get(name) {
            return Ok(Some(*id));
        }
        if *lenient || lost.contains(name) {
            return Ok(None);
        }
        let known: Vec<&str> = ids.keys().map(String::as_str).collect();
        let hint = if known.is_empty() {
            format!("fleet.toml defines no {kind}")
        } else {
            choice(&format!("known {kind}s"), name, &known)
        };
        Err(Fault::new(format!("unknown {kind} `{name}`")).hint(hint))
    }

    /// The same names, of which no unknown one is reported.
    pub(super) fn lenient(self) -> Self {
        Self { lenient: true, ..self }
    }

    /// The name of an id.
    pub(super) fn name(&self, id: Id) -> Option<&str>
    where
        Id: PartialEq,
    {
        let found = self.ids.iter().find(|(_, other)| **other == id);
        found.map(|(name, _)| name.as_str())
    }

    /// One of the names, whichever.
    pub(super) fn any(&self) -> Option<&str> {
        self.ids.keys().next().map(String::as_str)
    }

    /// Number of names.
    pub(super) fn count(&self) -> usize {
        self.ids.len()
    }

    /// Whether all names are known.
    pub(super) fn complete(&self) -> bool {
        !self.lenient && self.lost.is_empty()
    }
}
