//! Reports as they are written: lines, or JSON.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::Address;

/// What is said of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It serves.
    Up,
    /// It does not.
    Down,
    /// Nobody knows.
    Unknown,
}

/// What somebody says of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What is said.
    pub state: State,
    /// When, in seconds since 1970.
    pub at: u64,
    /// Until when it holds, in seconds since 1970; `None`: as long as reports of its monitor do.
    pub until: Option<u64>,
    /// In a few words; may be empty.
    pub why: String,
}

/// Longest words of a report, in characters.
const WHY_MAX: usize = 200;

/// Reports in the JSON form, by the address of the endpoint.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Bulletin(BTreeMap<String, Written>);

/// One value of the JSON form.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Written {
    /// `"down"`
    Word(State),
    /// `{ "state": "down", "until": 1800000000, "why": "disk is full" }`
    Table(Details),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Details {
    state: State,
    until: Option<u64>,
    #[serde(default)]
    why: String,
}

/// The reports in a text that was written at this time, and the first mistake in it.
///
/// A text that starts with `{` is JSON. Else each line is `ENDPOINT STATE [UNTIL] [WORDS…]`; `#`
/// starts a comment. A line with a mistake costs that line alone.
pub(super) fn parse(text: &str, at: u64) -> (Vec<(String, Report)>, Option<String>) {
    if text.trim_start().starts_with('{') {
        return json(text, at);
    }
    let mut reports = Vec::new();
    let mut fault = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        match plain(line, at) {
            Some(report) => reports.push(report),
            None => {
                fault.get_or_insert_with(|| format!("line {number} is no report"));
            }
        }
    }
    (reports, fault)
}

fn plain(line: &str, at: u64) -> Option<(String, Report)> {
    let mut words = line.split_whitespace();
    let endpoint = words.next()?;
    let state = match words.next()? {
        "up" => State::Up,
        "down" => State::Down,
        "unknown" => State::Unknown,
        _ => return None,
    };
    let mut rest = words.clone();
    let until = rest.next().and_then(|word| word.parse().ok());
    if until.is_some() {
        words = rest;
    }
    let why = words.collect::<Vec<_>>().join(" ");
    Some((endpoint.to_owned(), Report { state, at, until, why: cut(&why) }))
}

fn json(text: &str, at: u64) -> (Vec<(String, Report)>, Option<String>) {
    match serde_json::from_str::<Bulletin>(text) {
        Ok(bulletin) => (bulletin.reports(at).collect(), None),
        Err(error) => (Vec::new(), Some(format!("the reports are not json: {error}"))),
    }
}

impl Bulletin {
    /// The first endpoint it names that has none of these addresses.
    pub fn stranger<'a>(&self, known: impl Iterator<Item = &'a Address>) -> Option<&str> {
        let known: BTreeSet<String> =
            known.map(|address| plain_name(&address.to_string())).collect();
        self.0.keys().find(|name| !known.contains(&plain_name(name))).map(String::as_str)
    }

    /// What it says, as of this second since 1970.
    pub(super) fn reports(self, at: u64) -> impl Iterator<Item = (String, Report)> {
        self.0.into_iter().map(move |(endpoint, written)| {
            let details = match written {
                Written::Word(state) => Details { state, until: None, why: String::new() },
                Written::Table(details) => details,
            };
            let Details { state, until, why } = details;
            (endpoint, Report { state, at, until, why: cut(&why) })
        })
    }
}

/// The name of an endpoint, however its case and final dot are written.
pub(super) fn plain_name(endpoint: &str) -> String {
    endpoint.trim_end_matches('.').to_ascii_lowercase()
}

fn cut(why: &str) -> String {
    why.chars().filter(|c| !c.is_control()).take(WHY_MAX).collect()
}
