//! What can be prepared before health is known: contests, client classes and prefix tables.

use std::collections::HashMap;

use super::matches::Matches;
use crate::geo::{Ground, PrefixTable};
use crate::model::{Fleet, Service};
use crate::place::Place;
use crate::steering::{Class, Contest, Opinions};

/// A contest with the classes its clients fall into.
#[derive(Debug)]
pub struct Steering {
    /// The rules.
    pub contest: Contest,
    /// The classes; never empty.
    pub classes: Vec<Class>,
    /// Client prefix to class; `None`: all clients are of the first class.
    pub table: Option<PrefixTable>,
    /// Whether the databases locate the clients of each class; `None`: nobody asks them.
    pub(super) matches: Option<Matches>,
}

impl Steering {
    /// Classifies every place on the ground.
    pub fn new(contest: Contest, fleet: &Fleet, ground: &Ground) -> Self {
        let mut classes = Classes::default();
        let mut matches = contest.asks_databases(fleet).then(Matches::default);
        let table = contest.locates().then(|| {
            let table = ground.compile(|client| {
                let opinions = contest.opinions(client.place, client.network, fleet);
                let class = classes.number(opinions, &contest);
                if let Some(matches) = &mut matches {
                    matches.note(class, client.place.is_located());
                }
                class
            });
            if let Some(matches) = &mut matches {
                matches.tell_apart(ground);
            }
            table
        });
        if table.is_none() {
            classes.number(contest.opinions(&Place::default(), None, fleet), &contest);
        }
        Self { contest, classes: classes.all, table, matches }
    }
}

/// Classes numbered in the order they are met.
#[derive(Default)]
struct Classes {
    /// By opinions as they are, and by the part of them that matters.
    numbers: HashMap<Opinions, u32>,
    all: Vec<Class>,
}

impl Classes {
    fn number(&mut self, opinions: Opinions, contest: &Contest) -> u32 {
        if let Some(number) = self.numbers.get(&opinions) {
            return *number;
        }
        let class = contest.class(&opinions);
        let next = self.all.len() as u32;
        let number = *self.numbers.entry(class.opinions.clone()).or_insert(next);
        if number == next {
            self.all.push(class);
        }
        self.numbers.insert(opinions, number);
        number
    }
}

/// The contests of all services, equal ones only once.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Each distinct contest.
    pub steerings: Vec<std::sync::Arc<Steering>>,
    /// Per zone, per service: index into `steerings`.
    pub services: Vec<Vec<usize>>,
}

impl Plan {
    /// Plans the services of all zones; `lone` says whether an owner name has no static records.
    pub fn new<'a>(
        zones: impl Iterator<Item = &'a [Service]>,
        fleet: &Fleet,
        ground: &Ground,
        lone: impl Fn(usize, &Service) -> bool,
    ) -> Self {
        let mut plan = Plan::default();
        for (zone, services) in zones.enumerate() {
            let numbers = services
                .iter()
                .map(|service| {
                    let contest = Contest::new(service, fleet, lone(zone, service));
                    plan.number(contest, fleet, ground)
                })
                .collect();
            plan.services.push(numbers);
        }
        plan
    }

    fn number(&mut self, contest: Contest, fleet: &Fleet, ground: &Ground) -> usize {
        let known = self.steerings.iter().position(|steering| steering.contest == contest);
        known.unwrap_or_else(|| {
            self.steerings.push(Steering::new(contest, fleet, ground).into());
            self.steerings.len() - 1
        })
    }
}
