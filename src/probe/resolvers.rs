//! Probes of resolvers that stand for clients: whose turn it is, and how far one is.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Limit, Route, dns};
use crate::clock::{self, Tick};
use crate::health::{CauseKind, Outcome};
use crate::model::{Guard, ResolverProbe, Resolvers};

/// Whose turn it is among resolvers that are probed one after another, again and again.
#[derive(Debug)]
pub struct Rounds {
    /// Place of the next one, beyond the list after its end.
    next: usize,
    /// When it may be probed; `None`: at once.
    due: Option<Tick>,
}

impl Rounds {
    /// Begins with any of them, by a random number, so that nodes that start together do not ask
    /// the same one at the same time.
    pub fn new(random: u64) -> Self {
        Self { next: (random >> 1) as usize, due: None }
    }

    /// The place of the resolver whose turn has come; `None`: nobody's has. What is late is not
    /// caught up with, so that the rate holds at any time.
    pub fn turn(&mut self, resolvers: &Resolvers, now: Tick) -> Option<usize> {
        let count = resolvers.list.len();
        if count == 0 || self.rest(now).is_some() {
            return None;
        }
        let at = self.next % count;
        self.next = at + 1;
        self.due = Some(now + pause(resolvers));
        Some(at)
    }

    /// Time until the next turn; `None`: it has come.
    pub fn rest(&self, now: Tick) -> Option<Duration> {
        self.due.map(|due| due.since(now)).filter(|rest| *rest > Duration::ZERO)
    }
}

/// Time between two probes: by it neither the rate nor the interval of each is broken.
fn pause(resolvers: &Resolvers) -> Duration {
    let count = u32::try_from(resolvers.list.len()).unwrap_or(u32::MAX).max(1);
    let rate_ms = 1_000_u32.div_ceil(resolvers.rate.get());
    (resolvers.interval / count).max(Duration::from_millis(u64::from(rate_ms)))
}

/// Probes the resolver at `to`, under this random id; gives its round trip.
///
/// # Errors
/// Why there is none: the address is refused by `guard`, or nothing came back.
pub async fn sound(
    resolvers: &Resolvers,
    to: IpAddr,
    guard: &Guard,
    id: u16,
) -> Result<Duration, Outcome> {
    if let Some(words) = guard.refusal(to) {
        return Err(Outcome::failure(CauseKind::Denied, words));
    }
    let addresses = vec![SocketAddr::new(to, resolvers.port)];
    let route = Route { addresses, source: None, limit: Limit::starting(resolvers.timeout) };
    let begun = clock::stopwatch();
    match resolvers.kind {
        ResolverProbe::Dns => dns::any_reply(&route, id).await?,
        ResolverProbe::Tcp => drop(route.connect().await?),
    }
    Ok(begun.elapsed())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::model::Resolver;
    use crate::prefix::Prefix;

    fn resolvers(count: u8, interval_s: u64, rate: u32) -> Resolvers {
        let resolver = |last| {
            let address = IpAddr::from([192, 0, 2, last]);
            Resolver { address, clients: vec![Prefix::holding(address, 24)] }
        };
        Resolvers {
            list: (0..count).map(resolver).collect(),
            kind: ResolverProbe::Dns,
            port: 53,
            interval: Duration::from_secs(interval_s),
            timeout: Duration::from_secs(2),
            rate: NonZeroU32::new(rate).unwrap(),
        }
    }

    /// Who is probed within this time, each turn looked for every 10 ms, and when.
    fn probed(rounds: &mut Rounds, resolvers: &Resolvers, seconds: u64) -> Vec<(u64, usize)> {
        let times = (0..seconds * 100).map(|step| step * 10);
        times
            .filter_map(|ms| {
                Some((ms, rounds.turn(resolvers, Tick::START + Duration::from_millis(ms))?))
            })
            .collect()
    }

    #[test]
    fn each_has_its_turn_once_an_interval_and_no_more_than_the_rate_start() {
        for (case, resolvers, seconds, expected) in [
            ("spread over the interval", resolvers(10, 100, 5), 200, 20),
            ("as fast as the rate lets", resolvers(100, 10, 5), 40, 200),
            ("one alone", resolvers(1, 60, 5), 180, 3),
            ("none", resolvers(0, 60, 5), 60, 0),
        ] {
            let found = probed(&mut Rounds::new(7), &resolvers, seconds);
            assert_eq!(found.len(), expected, "{case}");
            let count = resolvers.list.len();
            let next = |pair: &[(u64, usize)]| pair[1].1 == (pair[0].1 + 1) % count;
            assert!(found.windows(2).all(next), "{case}: {found:?}");
            let least = 1_000 / u64::from(resolvers.rate.get());
            assert!(found.windows(2).all(|pair| pair[1].0 - pair[0].0 >= least), "{case}");
            for again in found.iter().zip(found.iter().skip(count.max(1))) {
                let passed = Duration::from_millis(again.1.0 - again.0.0);
                assert!(passed >= resolvers.interval, "{case}: {again:?}");
            }
        }
    }

    #[test]
    fn what_is_late_is_not_caught_up_with_and_a_shorter_list_goes_on() {
        let (long, short) = (resolvers(100, 10, 5), resolvers(3, 1, 5));
        let mut rounds = Rounds::new(u64::MAX);
        let later = Tick::START + Duration::from_secs(3_600);
        assert!(rounds.turn(&long, Tick::START).is_some());
        assert!(rounds.turn(&long, later).is_some());
        assert_eq!(rounds.turn(&long, later + Duration::from_millis(199)), None);
        let next = rounds.turn(&short, later + Duration::from_millis(200));
        assert!(next.is_some_and(|at| at < 3), "{next:?}");
    }
}
