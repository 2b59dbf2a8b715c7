//! Keys and values of the language whose feature is not built yet: refused, never ignored.

use toml::Spanned;
use toml::de::DeTable;

use super::tree::{Cut, Entry, Step, cut};
use super::value::Fault;

/// One refusal.
pub(super) struct Rule {
    /// Keys from the top; `*` stands for any name and any item of a list.
    path: &'static [&'static str],
    /// What works instead; empty: nothing does, so that it must be taken out.
    hint: &'static str,
}

const fn key(path: &'static [&'static str], hint: &'static str) -> Rule {
    Rule { path, hint }
}

/// The refusals of node.toml.
pub(super) const NODE: &[Rule] = &[key(&["telemetry"], "")];

/// The refusals of fleet.toml.
pub(super) const FLEET: &[Rule] = &[];

/// The refusals of zones/NAME.toml.
pub(super) const ZONE: &[Rule] = &[];

/// Cuts out all that `rules` refuse, and gives back where it was and what to say.
pub(super) fn refuse(
    table: &mut Spanned<DeTable<'_>>,
    rules: &[Rule],
    cuts: &mut Vec<Cut>,
) -> Vec<(std::ops::Range<usize>, Fault)> {
    let mut faults = Vec::new();
    let doomed = &mut |entry: &Entry<'_, '_>| {
        let found = rules.iter().find_map(|rule| rule.applies(entry));
        let refused = found.is_some();
        faults.extend(found);
        refused
    };
    cut(table, doomed, cuts);
    faults
}

impl Rule {
    /// Where and what to say, when this rule refuses `entry`.
    fn applies(&self, entry: &Entry<'_, '_>) -> Option<(std::ops::Range<usize>, Fault)> {
        let same = self.path.len() == entry.path.len()
            && self.path.iter().zip(entry.path).all(|(wanted, step)| match step {
                Step::Key(key) => *wanted == "*" || wanted == key,
                Step::Item(_) => *wanted == "*",
            });
        if !same {
            return None;
        }
        let name = self.path.iter().rev().find(|key| **key != "*").copied().unwrap_or_default();
        let (span, what) = (entry.key.clone()?, format!("`{name}` is not supported yet"));
        let hint = if self.hint.is_empty() { "take it out for now" } else { self.hint };
        Some((span, Fault::new(what).hint(hint)))
    }
}
