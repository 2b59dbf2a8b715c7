//! What can be prepared before health is known: contests, client classes and prefix tables.

use std::collections::HashMap;

use super::matches::Matches;
use crate::geo::{Client, Ground, PrefixTable};
use crate::latency::{self, Chart, Estimate, Estimates, Prior};
use crate::model::{Fleet, Service};
use crate::place::Place;
use crate::prefix::Prefix;
use crate::steering::{Class, Contest, Opinions};

/// Classes of a contest beyond which what was measured of a client makes no new one: each costs
/// time at every change of health. Those clients go by where they are.
const MEASURED_CLASSES_MAX: usize = 32_768;
/// Opinions whose class is remembered while classes are made.
const OPINIONS_MAX: usize = 1 << 18;

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
    /// Classifies every place on the ground, and where round trips matter every client of whom any
    /// was measured.
    pub fn new(contest: Contest, fleet: &Fleet, ground: &Ground, estimates: &Estimates) -> Self {
        let mut classes = Classes::default();
        let mut matches = contest.asks_databases(fleet).then(Matches::default);
        let table = contest.locates().then(|| {
            let mut note = |class: u32, client: &Client<'_>| {
                if let Some(matches) = &mut matches {
                    matches.note(class, client.place.is_located());
                }
                class
            };
            let table = if contest.measures() {
                let mut measured = Measured::new(&contest, fleet, estimates, &mut classes);
                let prefixes = measured.prefixes();
                ground.compile_with(&prefixes, |client, known| {
                    note(measured.class(client, known), client)
                })
            } else {
                ground.compile(|client| {
                    let opinions = contest.opinions(client.place, client.network, &[], fleet);
                    note(classes.number(opinions, &contest), client)
                })
            };
            if let Some(matches) = &mut matches {
                matches.tell_apart(ground);
            }
            table
        });
        if table.is_none() {
            classes.number(contest.opinions(&Place::default(), None, &[], fleet), &contest);
        }
        Self { contest, classes: classes.all, table, matches }
    }

    /// The class of this number; one that does not exist is the first, as where all are.
    pub fn class(&self, number: u32) -> Option<&Class> {
        self.classes.get(number as usize).or_else(|| self.classes.first())
    }

    /// The same contest with other estimates.
    #[must_use]
    pub fn again(&self, fleet: &Fleet, ground: &Ground, estimates: &Estimates) -> Self {
        Self::new(self.contest.clone(), fleet, ground, estimates)
    }
}

/// Classifies clients by their round trips, beside all else.
struct Measured<'a> {
    contest: &'a Contest,
    fleet: &'a Fleet,
    chart: Chart<'a>,
    /// Those of whom something was measured.
    known: Vec<latency::Client>,
    /// Neighbours are mostly at the same place.
    prior: Option<(Place, Prior)>,
    classes: &'a mut Classes,
}

impl<'a> Measured<'a> {
    fn new(
        contest: &'a Contest,
        fleet: &'a Fleet,
        estimates: &'a Estimates,
        classes: &'a mut Classes,
    ) -> Self {
        let chart = Chart::new(estimates, fleet);
        let known = chart.clients().collect();
        Self { contest, fleet, chart, known, prior: None, classes }
    }

    fn prefixes(&self) -> Vec<Prefix> {
        self.known.iter().map(|client| client.prefix()).collect()
    }

    /// The class of a client; `known` is its index among those of whom something was measured.
    fn class(&mut self, client: &Client<'_>, known: Option<usize>) -> u32 {
        let prior = match self.prior.take() {
            Some((place, prior)) if place == *client.place => prior,
            _ => self.chart.prior(client.place),
        };
        let measured = known.and_then(|known| self.known.get(known));
        let of = |estimates: &[Estimate]| {
            self.contest.opinions(client.place, client.network, estimates, self.fleet)
        };
        let own = measured.map(|measured| of(&self.chart.of(&prior, *measured)));
        let crowded = self.classes.all.len() >= MEASURED_CLASSES_MAX;
        let found = own.and_then(|own| {
            if crowded {
                return self.classes.known(&own, self.contest);
            }
            Some(self.classes.number(own, self.contest))
        });
        let class = found.unwrap_or_else(|| {
            let opinions = of(&self.chart.of_place(&prior));
            self.classes.number(opinions, self.contest)
        });
        self.prior = Some((*client.place, prior));
        class
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
    /// The number of the class of these opinions, if there is one already.
    fn known(&self, opinions: &Opinions, contest: &Contest) -> Option<u32> {
        let found = self.numbers.get(opinions);
        found.or_else(|| self.numbers.get(&contest.class(opinions).opinions)).copied()
    }

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
        if self.numbers.len() < OPINIONS_MAX {
            self.numbers.insert(opinions, number);
        }
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
        (ground, estimates): (&Ground, &Estimates),
        lone: impl Fn(usize, &Service) -> bool,
    ) -> Self {
        let mut plan = Plan::default();
        for (zone, services) in zones.enumerate() {
            let numbers = services
                .iter()
                .map(|service| {
                    let contest = Contest::new(service, fleet, lone(zone, service));
                    plan.number(contest, fleet, (ground, estimates))
                })
                .collect();
            plan.services.push(numbers);
        }
        plan
    }

    fn number(
        &mut self,
        contest: Contest,
        fleet: &Fleet,
        (ground, estimates): (&Ground, &Estimates),
    ) -> usize {
        let known = self.steerings.iter().position(|steering| steering.contest == contest);
        known.unwrap_or_else(|| {
            self.steerings.push(Steering::new(contest, fleet, ground, estimates).into());
            self.steerings.len() - 1
        })
    }
}
