//! All overrides that a node knows, with their ends on its monotonic clock.

use std::time::Duration;

use super::{Override, Scope, Target, TargetError};
use crate::clock::Tick;
use crate::health::Action;

/// Most overrides of the fleet; more are a mistake of whatever sets them.
pub const FLEET_MAX: usize = 1_000;
/// Longest time of an override of one node, which nobody else sees.
pub const LOCAL_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Longest text of a reason or an author, in characters.
const TEXT_MAX: usize = 500;
/// Longest time at all: who means longer means "until cleared".
const LASTS_MAX: Duration = Duration::from_secs(366 * 86_400);

/// An override that somebody wants to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What it does.
    pub action: Action,
    /// To what.
    pub target: Target,
    /// Why.
    pub reason: String,
    /// Who wants it.
    pub author: String,
    /// For how long; `None`: until it is cleared.
    pub lasts: Option<Duration>,
    /// Where it is to hold.
    pub scope: Scope,
    /// Whether the rules of `[safety]` may be broken.
    pub anyway: bool,
    /// The drill that it is a part of.
    pub drill: Option<String>,
}

/// Why an override cannot be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong.
    pub what: String,
    /// What to do instead.
    pub hint: String,
}

impl Mistake {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

impl From<TargetError> for Mistake {
    fn from(error: TargetError) -> Self {
        Self { what: error.what, hint: error.hint }
    }
}

impl Draft {
    /// What is wrong with the draft itself, whatever the fleet looks like.
    ///
    /// # Errors
    /// The first mistake.
    pub fn check(&self) -> Result<(), Mistake> {
        for (key, text) in [("reason", &self.reason), ("author", &self.author)] {
            if text.trim().is_empty() {
                let hint = "the log and `force list` show it to whoever looks next";
                return Err(Mistake::new(format!("`{key}` is missing"), hint));
            }
            if text.chars().count() > TEXT_MAX || text.chars().any(char::is_control) {
                let what = format!("`{key}` is not one line of {TEXT_MAX} characters at most");
                return Err(Mistake::new(what, "write it shorter"));
            }
        }
        if let Some(drill) = &self.drill
            && (self.lasts.is_none() || drill.chars().count() > TEXT_MAX)
        {
            let what = "an override of a drill has an end, and the drill a short name";
            return Err(Mistake::new(what, "say for how long it lasts"));
        }
        match self.lasts {
            Some(lasts) if lasts < Duration::from_secs(1) => {
                Err(Mistake::new("the end is not in the future", "a second or more, such as `30m`"))
            }
            Some(lasts) if lasts > LASTS_MAX => Err(Mistake::new(
                "the end is more than a year away",
                "or let it last until cleared",
            )),
            lasts if self.scope == Scope::Node && lasts.is_none_or(|l| l > LOCAL_MAX) => {
                let what = "an override of one node lasts 24 hours at most";
                Err(Mistake::new(what, "give it an end within that time"))
            }
            _ => Ok(()),
        }
    }

    /// The override, as of `unix_now`.
    fn finish(self, id: String, unix_now: u64) -> Override {
        let Self { action, target, reason, author, lasts, scope, anyway, drill } = self;
        let until = lasts.map(|lasts| unix_now.saturating_add(lasts.as_secs()));
        let (reason, author) = (reason.trim().to_owned(), author.trim().to_owned());
        let created = unix_now;
        Override { id, action, target, reason, author, created, until, scope, anyway, drill }
    }
}

/// An override with its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The override.
    pub what: Override,
    /// Its end; `None`: until it is cleared.
    pub ends: Option<Tick>,
}

impl Entry {
    /// An override as it is found at `now` and `unix_now`. However wrong either clock is, it lasts
    /// no longer than its author said.
    pub(super) fn found(what: Override, now: Tick, unix_now: u64) -> Self {
        let ends = what.until.map(|until| {
            let whole = until.saturating_sub(what.created);
            now + Duration::from_secs(until.saturating_sub(unix_now).min(whole))
        });
        Self { what, ends }
    }

    /// The time that is left; `None`: until it is cleared.
    pub fn left(&self, now: Tick) -> Option<Duration> {
        self.ends.map(|ends| ends.since(now))
    }

    fn is_over(&self, now: Tick) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

/// The overrides, at most [`FLEET_MAX`] of each scope.
///
/// Ends are kept on the monotonic clock, so that a wall clock that is set right ends no override
/// and prolongs none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverrideSet {
    pub(super) entries: Vec<Entry>,
    /// Grows with every change of this node's set.
    pub(super) revision: u64,
}

impl OverrideSet {
    /// All of them, the oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All of them without their ends.
    pub fn overrides(&self) -> impl Iterator<Item = &Override> {
        self.entries.iter().map(|entry| &entry.what)
    }

    /// Those that hold on every node.
    pub fn of_fleet(&self) -> impl Iterator<Item = &Override> {
        self.overrides().filter(|one| one.scope == Scope::Fleet)
    }

    /// Number of changes so far; a write may say which one it is based on.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Sets an override, in the place of the one with the same target and scope, if there is one.
    ///
    /// # Errors
    /// When the set is full.
    pub fn set(
        &mut self,
        draft: Draft,
        id: String,
        now: Tick,
        unix_now: u64,
    ) -> Result<Override, Mistake> {
        let same =
            |entry: &Entry| entry.what.target == draft.target && entry.what.scope == draft.scope;
        let others = self.entries.iter().filter(|entry| entry.what.scope == draft.scope);
        if others.filter(|entry| !same(entry)).count() >= FLEET_MAX {
            let what = format!("there are {FLEET_MAX} overrides already");
            return Err(Mistake::new(what, "clear those that are over, or use a pattern"));
        }
        self.entries.retain(|entry| !same(entry));
        let ends = draft.lasts.map(|lasts| now + lasts);
        let what = draft.finish(id, unix_now);
        self.entries.push(Entry { what: what.clone(), ends });
        self.revision += 1;
        Ok(what)
    }

    /// Clears the override of this id, or all of this target, and gives them back.
    pub fn clear(&mut self, id_or_target: &str) -> Vec<Override> {
        let target = id_or_target.parse::<Target>().ok();
        self.take(|entry| match &target {
            Some(target) => entry.what.target == *target,
            None => entry.what.id == id_or_target,
        })
    }

    /// Takes out what has ended, and gives it back.
    pub fn expire(&mut self, now: Tick) -> Vec<Override> {
        self.take(|entry| entry.is_over(now))
    }

    fn take(&mut self, doomed: impl Fn(&Entry) -> bool) -> Vec<Override> {
        let (gone, kept) = std::mem::take(&mut self.entries).into_iter().partition(doomed);
        self.entries = kept;
        let gone: Vec<Entry> = gone;
        self.revision += u64::from(!gone.is_empty());
        gone.into_iter().map(|entry| entry.what).collect()
    }

    /// When the next override ends; `None`: none does by itself.
    pub fn next_end(&self) -> Option<Tick> {
        self.entries.iter().filter_map(|entry| entry.ends).min()
    }

    /// Takes over the fleet's overrides. Ends of those it knew already stay as they are. Those of
    /// this node alone are left as they are. Gives whether anything changed.
    pub fn merge(&mut self, fleet: Vec<Override>, now: Tick, unix_now: u64) -> bool {
        let before = self.entries.clone();
        let known = |what: &Override| before.iter().find(|entry| entry.what == *what).cloned();
        self.entries.retain(|entry| entry.what.scope == Scope::Node);
        let fleet = fleet.into_iter().filter(|what| what.scope == Scope::Fleet).take(FLEET_MAX);
        let found =
            fleet.map(|what| known(&what).unwrap_or_else(|| Entry::found(what, now, unix_now)));
        self.entries.extend(found.filter(|entry| !entry.is_over(now)));
        self.entries
            .sort_by(|a, b| (a.what.created, &a.what.id).cmp(&(b.what.created, &b.what.id)));
        let changed = self.entries != before;
        self.revision += u64::from(changed);
        changed
    }
}
