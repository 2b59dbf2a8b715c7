//! Tables with peers: several regions judge the same endpoints.

use super::*;
use crate::health::{Action, Forced, Mode, PeerEvent, Prober, Seat, Standing, Vote};

/// A fleet of these regions with one endpoint in each, `192.0.2.N`, and one monitor.
pub(super) fn fleet_of(regions: &[&str]) -> Fleet {
    let addresses: Vec<String> = (1..=regions.len()).map(|n| format!("192.0.2.{n}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut fleet = fleet(&addresses, 1);
    let region = fleet.regions[0].clone();
    fleet.regions =
        regions.iter().map(|n| Region { name: (*n).into(), ..region.clone() }).collect();
    for (at, endpoint) in fleet.endpoints.iter_mut().enumerate() {
        endpoint.region = RegionId(at as u16);
    }
    fleet
}

/// A node in the first region that hears one prober in each other region.
pub(super) struct World {
    pub(super) fleet: Fleet,
    pub(super) table: HealthTable,
    pub(super) now: Tick,
}

impl World {
    pub(super) fn new(regions: &[&str]) -> Self {
        Self::over(fleet_of(regions))
    }

    pub(super) fn over(fleet: Fleet) -> Self {
        let table = HealthTable::new(&fleet, Tick(0));
        let mut world = Self { fleet, table, now: Tick(1000) };
        for at in 1..world.fleet.regions.len() {
            world.stand(at, Standing::Live);
        }
        world
    }

    /// All regions say that all is up.
    pub(super) fn all_up(regions: &[&str]) -> Self {
        let mut world = Self::new(regions);
        for endpoint in 0..regions.len() {
            world.all_say(endpoint, Verdict::Up);
        }
        world
    }

    fn prober(&self, region: usize) -> Prober {
        let region = self.fleet.regions[region].name.clone();
        Prober { node: format!("{region}-1"), region }
    }

    pub(super) fn event(&mut self, event: &PeerEvent) -> Vec<Change> {
        self.table.peers(event, self.now)
    }

    pub(super) fn stand(&mut self, region: usize, standing: Standing) -> Vec<Change> {
        let prober = self.prober(region);
        self.event(&PeerEvent::Standing { prober, standing })
    }

    /// A prober says something of an endpoint; that of the first region is this node.
    pub(super) fn say(&mut self, region: usize, endpoint: usize, verdict: Verdict) -> Vec<Change> {
        if region == 0 {
            let outcome = if verdict == Verdict::Up { Outcome::Success } else { refused() };
            let results = (0..2).flat_map(|_| {
                self.table.observe(EndpointId(endpoint as u32), HTTP, &outcome, self.now)
            });
            return results.collect();
        }
        let identity = EndpointIdentity::of(&self.fleet, &self.fleet.endpoints[endpoint]);
        let subject = Subject::of(&identity, "http");
        let kind = (verdict == Verdict::Down).then_some(CauseKind::Timeout);
        let vote = Vote { subject, verdict, kind, held: Duration::ZERO };
        let prober = self.prober(region);
        self.event(&PeerEvent::Votes { prober, votes: vec![vote] })
    }

    pub(super) fn all_say(&mut self, endpoint: usize, verdict: Verdict) {
        for region in 0..self.fleet.regions.len() {
            self.say(region, endpoint, verdict);
        }
    }

    /// Lets time pass, with every tick at its time.
    pub(super) fn pass(&mut self, milliseconds: u64) -> Vec<Change> {
        let end = Tick(self.now.0 + milliseconds);
        let mut changes = Vec::new();
        while let Some(due) = self.table.next_due().filter(|due| *due <= end) {
            assert!(due >= self.now, "asks for a time that is over");
            self.now = due;
            changes.extend(self.table.tick(due));
        }
        self.now = end;
        changes
    }

    pub(super) fn levels(&self) -> Vec<Level> {
        self.table.endpoints().iter().map(|health| health.level).collect()
    }

    pub(super) fn cause(&self, endpoint: usize) -> &str {
        &self.table.endpoints()[endpoint].cause
    }

    fn mode(&self) -> Mode {
        self.table.council().mode
    }
}

const THREE: [&str; 3] = ["eu", "us", "ap"];

#[test]
fn one_prober_takes_nothing_down_and_two_regions_do() {
    let mut world = World::all_up(&THREE);
    assert_eq!(world.mode(), Mode::Live);
    world.say(0, 1, Verdict::Down);
    assert_eq!(world.levels()[1], Level::Up, "this node alone");
    assert_eq!(world.cause(1), "monitor http: connection refused (down in 1 of 3 regions)");
    world.say(0, 1, Verdict::Up);
    world.say(2, 1, Verdict::Down);
    assert_eq!(world.levels()[1], Level::Up, "another alone, which may be lying");
    let changes = world.say(1, 1, Verdict::Down);
    assert_eq!(world.levels(), [Level::Up, Level::Down, Level::Up]);
    let flip = changes[0].flip.clone().unwrap();
    assert_eq!((flip.from, flip.to), (Level::Up, Level::Down));
    assert_eq!(world.cause(1), "monitor http: timeout (down in 2 of 3 regions)");
    assert_eq!(world.table.endpoints()[1].kind, Some(CauseKind::Timeout));
    let votes = world.table.endpoints()[1].votes.clone();
    let said: Vec<Verdict> = votes.iter().map(|vote| vote.verdict).collect();
    assert_eq!(said, [Verdict::Up, Verdict::Down, Verdict::Down]);
    world.say(2, 1, Verdict::Up);
    assert_eq!(world.levels(), [Level::Up; 3]);
}

#[test]
fn each_vote_has_its_cause_and_its_age() {
    let mut world = World::all_up(&THREE);
    let told = |world: &World| -> Vec<(Option<CauseKind>, Tick)> {
        let votes = &world.table.endpoints()[1].votes;
        votes.iter().map(|vote| (vote.kind, vote.since)).collect()
    };
    let first = world.now;
    world.pass(1_000);
    let (refused, timeout) = (Some(CauseKind::Refused), Some(CauseKind::Timeout));
    let second = world.now;
    world.say(0, 1, Verdict::Down);
    world.pass(500);
    let third = world.now;
    world.say(2, 1, Verdict::Down);
    assert_eq!(told(&world), [(refused, second), (None, first), (timeout, third)]);
    world.pass(500);
    world.say(2, 1, Verdict::Down);
    assert_eq!(told(&world)[2], (timeout, third), "what is said again is no news");
    world.say(0, 1, Verdict::Up);
    assert_eq!(told(&world), [(None, world.now), (None, first), (timeout, third)]);
}

#[test]
fn a_verdict_that_is_taken_back_is_no_vote() {
    let mut world = World::all_up(&THREE);
    world.say(1, 0, Verdict::Down);
    world.say(2, 0, Verdict::Down);
    assert_eq!(world.levels()[0], Level::Down);
    world.say(1, 0, Verdict::Unknown);
    assert_eq!(world.levels()[0], Level::Up);
}

#[test]
fn who_is_dead_or_impaired_has_no_vote() {
    for (standing, seat) in [(Standing::Dead, Seat::Dead), (Standing::Impaired, Seat::Impaired)] {
        let mut world = World::all_up(&["eu", "us", "ap", "br"]);
        world.say(1, 0, Verdict::Down);
        world.say(2, 0, Verdict::Down);
        assert_eq!(world.levels()[0], Level::Up, "two of four are no majority");
        world.stand(3, standing);
        assert_eq!(world.levels()[0], Level::Down, "two of three are");
        assert_eq!(world.table.council().seat(RegionId(3)), Some(seat));
        world.stand(3, Standing::Late);
        assert_eq!(world.levels()[0], Level::Up, "what is late counts on");
    }
}

#[test]
fn a_node_cut_off_freezes_what_it_knew_and_comes_back_by_itself() {
    let mut world = World::all_up(&THREE);
    world.all_say(2, Verdict::Down);
    let before = world.levels();
    assert_eq!(before, [Level::Up, Level::Up, Level::Down]);
    world.event(&PeerEvent::Link { up: false });
    assert_eq!(world.mode(), Mode::Isolated);
    assert_eq!(world.levels(), before);
    for region in [1, 2] {
        world.stand(region, Standing::Dead);
    }
    assert_eq!(world.levels(), before);
    world.say(0, 1, Verdict::Down);
    assert_eq!(world.levels()[1], Level::Unknown, "out of reach from here: ranks after up");
    assert_eq!(world.cause(1), "monitor http: connection refused (no quorum, last settled up)");
    world.say(0, 2, Verdict::Up);
    assert_eq!(world.levels()[2], Level::Unknown, "seen from here: ranks before down");
    world.event(&PeerEvent::Link { up: true });
    for region in [1, 2] {
        world.stand(region, Standing::Live);
    }
    assert_eq!(world.mode(), Mode::Live);
    assert_eq!(world.levels(), before, "as the others say");
}

#[test]
fn peers_that_stay_away_for_an_hour_are_forgotten() {
    let mut world = World::all_up(&["eu", "us"]);
    world.stand(1, Standing::Dead);
    world.say(0, 1, Verdict::Down);
    world.pass(3_599_999);
    assert_eq!((world.mode(), world.levels()[1]), (Mode::Isolated, Level::Unknown));
    let changes = world.pass(1);
    assert_eq!((world.mode(), world.levels()[1]), (Mode::Alone, Level::Down));
    assert_eq!(changes.len(), 2, "both lose the votes, one goes down");
    assert_eq!(world.table.next_due(), None);
    world.stand(1, Standing::Live);
    assert!(
        world.table.rows.iter().all(|row| row.cells[0].ballot.is_empty()),
        "old votes are gone"
    );
}

#[test]
fn votes_survive_a_reload_also_those_on_what_was_not_known_yet() {
    let mut world = World::all_up(&THREE);
    for region in [1, 2] {
        world.say(region, 1, Verdict::Down);
    }
    let mut newer = fleet_of(&["us", "eu", "ap", "br"]);
    newer.endpoints[0].region = RegionId(1);
    newer.endpoints[1].region = RegionId(0);
    let identity = EndpointIdentity::of(&newer, &newer.endpoints[3]);
    let subject = Subject::of(&identity, "http");
    for region in [1, 2] {
        let (kind, held) = (Some(CauseKind::Timeout), Duration::ZERO);
        let votes = vec![Vote { subject, verdict: Verdict::Down, kind, held }];
        let prober = world.prober(region);
        assert_eq!(world.event(&PeerEvent::Votes { prober, votes }), []);
    }
    let table = HealthTable::carry_over(&world.table, &world.fleet, &newer, world.now);
    let levels: Vec<Level> = table.endpoints().iter().map(|health| health.level).collect();
    assert_eq!(levels, [Level::Up, Level::Down, Level::Up, Level::Down]);
    assert_eq!(table.council().own, RegionId(1), "the same region under its new number");
    assert!(table.strangers.is_empty());
}

#[test]
fn a_node_that_restarts_cut_off_holds_what_was_settled_and_knows_that_it_is_not_alone() {
    let mut world = World::all_up(&THREE);
    world.all_say(2, Verdict::Down);
    world.say(0, 1, Verdict::Down);
    world.pass(5000);
    let json = world.table.save(&world.fleet, world.now, 1_800_000_000).to_json().unwrap();
    let saved = SavedHealth::from_json(&json).unwrap();
    let table = HealthTable::restore(&world.fleet, &saved, Tick(9_000_000), 1_800_000_060);
    assert_eq!(table.council().mode, Mode::Isolated);
    let levels: Vec<Level> = table.endpoints().iter().map(|health| health.level).collect();
    assert_eq!(levels, [Level::Up, Level::Unknown, Level::Down], "one is up, if not from here");
    assert_eq!(table.council().until, Some(Tick(9_000_000 + 3_540_000)), "an hour from when heard");
    let text = String::from_utf8(json.clone()).unwrap();
    let unsettled = text.replace("\"merged\":\"up\",", "").replace("\"merged\":\"down\",", "");
    let unsettled = SavedHealth::from_json(unsettled.as_bytes()).unwrap();
    let table = HealthTable::restore(&world.fleet, &unsettled, Tick(9_000_000), 1_800_000_060);
    let levels: Vec<Level> = table.endpoints().iter().map(|health| health.level).collect();
    assert_eq!(levels, [Level::Up, Level::Unknown, Level::Unknown], "nothing was settled");
    let back = HealthTable::restore(&world.fleet, &saved, Tick(9_000_000), 1_799_913_600);
    assert_eq!(back.council().mode, Mode::Isolated, "the clock was set back by a day");
    assert!(back.endpoints().iter().all(|health| health.level == Level::Unknown));
    let late = HealthTable::restore(&world.fleet, &saved, Tick(9_000_000), 1_800_003_600);
    assert_eq!(late.council().mode, Mode::Alone);
}

#[test]
fn what_is_told_to_peers_is_what_probes_found_here() {
    let mut world = World::new(&["eu", "us"]);
    assert!(world.table.take_votes(world.now).is_some(), "that there is nothing yet");
    assert_eq!(world.table.take_votes(world.now), None);
    world.say(0, 1, Verdict::Up);
    world.pass(3000);
    let told = world.table.take_votes(world.now).unwrap();
    let identity = EndpointIdentity::of(&world.fleet, &world.fleet.endpoints[1]);
    let subject = Subject::of(&identity, "http");
    let held = Duration::from_secs(3);
    let vote = Vote { subject, verdict: Verdict::Up, kind: None, held };
    assert_eq!((told.impaired, told.votes), (false, vec![("us".into(), vote)]));
    world.table.observe(EndpointId(1), HTTP, &Outcome::Success, world.now);
    world.say(1, 1, Verdict::Down);
    assert_eq!(world.table.take_votes(world.now), None, "nothing new from here");
}

#[test]
fn overrides_beat_health_and_end_without_a_trace() {
    let mut world = World::all_up(&THREE);
    world.all_say(2, Verdict::Down);
    let forced = |action| Some(Forced { action, words: "by an operator".into() });
    let all = [forced(Action::Down), forced(Action::Drain), forced(Action::Up)];
    let changes = world.table.set_overrides(&all, world.now);
    assert_eq!(changes.iter().filter(|change| change.flip.is_some()).count(), 3);
    assert_eq!(world.levels(), [Level::Down, Level::Drained, Level::Up]);
    assert_eq!(world.cause(0), "by an operator");
    assert_eq!(world.table.set_overrides(&all, Tick(5000)), [], "the same again");
    world.all_say(1, Verdict::Down);
    assert_eq!(world.levels()[1], Level::Down, "to drain what is down brings nothing back");
    let table = HealthTable::carry_over(&world.table, &world.fleet, &world.fleet, world.now);
    assert_eq!(table.endpoints()[0].level, Level::Down, "they outlast a reload");
    world.table.set_overrides(&[], world.now);
    assert_eq!(world.levels(), [Level::Up, Level::Down, Level::Down]);
}

#[test]
fn proxied_traffic_is_a_witness_that_need_not_be_there() {
    let fleet = fleet_of(&["eu"]);
    let mut world = World::over(fleet);
    world.say(0, 0, Verdict::Up);
    let traffic = |world: &mut World, outcome: &Outcome, times: usize| {
        for _ in 0..times {
            world.table.observe(A, Source::Traffic, outcome, world.now);
        }
    };
    traffic(&mut world, &Outcome::Success, 1);
    assert_eq!((world.levels()[0], world.cause(0)), (Level::Up, "all monitors up"));
    traffic(&mut world, &refused(), 4);
    assert_eq!(world.levels()[0], Level::Up);
    traffic(&mut world, &refused(), 1);
    assert_eq!(world.levels()[0], Level::Down);
    assert_eq!(world.cause(0), "proxied traffic: connection refused");
    let told = world.table.take_votes(world.now).unwrap();
    assert_eq!(told.votes.len(), 2, "peers are told");
    world.pass(29_999);
    assert_eq!(world.levels()[0], Level::Down);
    world.pass(1);
    assert_eq!(world.levels()[0], Level::Up, "who gets no traffic must not stay down for that");
    let told = world.table.take_votes(world.now).unwrap();
    assert_eq!(told.votes[1].1.verdict, Verdict::Unknown, "and is taken back");
    assert!(world.table.is_fully_observed(), "it is no part of the first round");
}

#[test]
fn what_a_restarted_prober_finds_as_it_was_is_told_all_the_same() {
    let fleet = fleet_of(&["eu", "us", "ap"]);
    let mut table = HealthTable::new(&fleet, Tick(0));
    for endpoint in 0..3 {
        table.observe(EndpointId(endpoint), HTTP, &refused(), Tick(1000));
    }
    let saved = table.save(&fleet, Tick(2000), 1_800_000_000);
    let mut table = HealthTable::restore(&fleet, &saved, Tick(2000), 1_800_000_000);
    let mut said = Vec::new();
    for endpoint in 0..3 {
        table.observe(EndpointId(endpoint), HTTP, &refused(), Tick(3000));
        said.push(table.take_votes(Tick(3000)).map(|votes| votes.votes.len()));
    }
    assert_eq!(said, [Some(1), Some(2), Some(3)]);
    table.observe(A, HTTP, &refused(), Tick(8000));
    assert_eq!(table.take_votes(Tick(8000)), None, "nothing new");
}

#[test]
fn who_comes_or_goes_changes_what_it_voted_on_and_nothing_else() {
    let mut world = World::all_up(&["eu", "us", "ap"]);
    let votes = |n: usize| {
        let identity = EndpointIdentity::of(&world.fleet, &world.fleet.endpoints[n]);
        let (subject, kind) = (Subject::of(&identity, "http"), Some(CauseKind::Timeout));
        Vote { subject, verdict: Verdict::Down, kind, held: Duration::ZERO }
    };
    let prober = Prober { region: "us".into(), node: "us-2".into() };
    let said = PeerEvent::Votes { prober: prober.clone(), votes: vec![votes(1)] };
    world.event(&said);
    assert_eq!(world.event(&said), [], "said before");
    let dead = PeerEvent::Standing { prober: prober.clone(), standing: Standing::Dead };
    let live = PeerEvent::Standing { prober, standing: Standing::Live };
    for event in [dead, live] {
        world.event(&event);
        let kept = world.table.endpoints().to_vec();
        // What was passed over is what would have come out.
        for at in 0..3 {
            world.table.update(at, world.now, &mut Vec::new());
        }
        assert_eq!(world.table.endpoints(), kept, "{event:?}");
    }
}
