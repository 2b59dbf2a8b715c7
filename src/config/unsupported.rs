//! Keys and values of the language whose feature is not built yet: refused, never ignored.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::tree::{Cut, Entry, Step, cut};
use super::value::Fault;

/// What a rule refuses.
#[derive(Clone, Copy)]
enum When {
    /// The key, whatever it holds.
    Present,
    /// This word.
    Is(&'static str),
}

/// One refusal.
pub(super) struct Rule {
    /// Keys from the top; `*` stands for any name and any item of a list.
    path: &'static [&'static str],
    when: When,
    /// What works instead; empty: nothing does, so that it must be taken out.
    hint: &'static str,
    /// Tables around the value that go with it, so that their other keys, which the feature may
    /// need, are not called unknown.
    around: usize,
}

const fn key(path: &'static [&'static str], hint: &'static str) -> Rule {
    Rule { path, when: When::Present, hint, around: 0 }
}

const fn word(
    path: &'static [&'static str],
    when: When,
    hint: &'static str,
    around: usize,
) -> Rule {
    Rule { path, when, hint, around }
}

/// The refusals of node.toml.
pub(super) const NODE: &[Rule] = &[
    key(&["proxy", "http3"], ""),
    key(&["proxy", "tcp"], ""),
    key(&["proxy", "client_ca"], ""),
    key(&["proxy", "proxy_protocol"], ""),
    key(&["telemetry"], ""),
];

/// The refusals of fleet.toml.
pub(super) const FLEET: &[Rule] = &[
    key(&["pool", "*", "capacity"], ""),
    key(&["latency"], "the method `proximity` ranks by distance"),
    key(&["route", "*", "timeouts", "websocket"], ""),
    key(&["route", "*", "rate_limit"], ""),
    key(&["route", "*", "sticky"], ""),
    key(&["route", "*", "cache"], ""),
    key(&["route", "*", "request_headers"], ""),
    key(&["route", "*", "client_certificate"], ""),
    key(&["route", "*", "upstream", "protocol"], ""),
    key(&["route", "*", "upstream", "tls"], ""),
    key(&["route", "*", "upstream", "queue"], ""),
    key(&["route", "*", "eject"], ""),
];

const LATENCY: &str = "the method `proximity` ranks by distance";
const SPILL: &str = "weights share the load";

/// The refusals of zones/NAME.toml.
pub(super) const ZONE: &[Rule] = &[
    word(&["service", "*", "policy", "*"], When::Is("latency"), LATENCY, 0),
    word(&["service", "*", "policy", "*", "method"], When::Is("latency"), LATENCY, 1),
    word(&["service", "*", "policy", "*"], When::Is("spill"), SPILL, 0),
    word(&["service", "*", "policy", "*", "method"], When::Is("spill"), SPILL, 1),
];

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
        let (here, below) = self.path.split_at_checked(self.path.len() - self.around)?;
        let same = here.len() == entry.path.len()
            && here.iter().zip(entry.path).all(|(wanted, step)| match step {
                Step::Key(key) => *wanted == "*" || wanted == key,
                Step::Item(_) => *wanted == "*",
            });
        if !same {
            return None;
        }
        let value = below.iter().try_fold(entry.value, |value, key| match value.get_ref() {
            DeValue::Table(table) => table.get(*key),
            _ => None,
        })?;
        let name = self.path.iter().rev().find(|key| **key != "*").copied().unwrap_or_default();
        let text = match value.get_ref() {
            DeValue::String(text) => Some(text.as_ref()),
            _ => None,
        };
        let (span, what) = match self.when {
            When::Present => (entry.key.clone()?, format!("`{name}` is not supported yet")),
            When::Is(word) if text == Some(word) => {
                let kind = if name == "policy" { "method" } else { name };
                (value.span(), format!("{kind} `{word}` is not supported yet"))
            }
            When::Is(_) => return None,
        };
        let hint = if self.hint.is_empty() { "take it out for now" } else { self.hint };
        Some((span, Fault::new(what).hint(hint)))
    }
}
