//! Rules of the mesh one by one, and a world of nodes that lose, repeat and reorder messages.

mod world;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::health::{CauseKind, Verdict};
use world::World;

const SECOND: Duration = Duration::from_secs(1);

fn prober(region: &str, node: &str) -> Prober {
    Prober { region: region.into(), node: node.into() }
}

fn mesh(region: &str, node: &str, epoch: Option<u64>, now: Tick) -> Mesh {
    let identity = Identity { me: prober(region, node), epoch, prefix: "gslb".into() };
    let mut mesh = Mesh::new(identity, Pace::default(), now, fastrand::Rng::with_seed(7));
    mesh.link(true, now);
    mesh
}

fn vote(subject: u64, verdict: Verdict, held: Duration) -> Vote {
    let kind = (verdict == Verdict::Down).then_some(CauseKind::Timeout);
    Vote { subject: Subject(subject), verdict, kind, held }
}

fn votes(range: std::ops::Range<u64>, verdict: Verdict) -> LocalVotes {
    let votes = range.map(|n| (Arc::from("us"), vote(n, verdict, Duration::ZERO))).collect();
    LocalVotes { impaired: false, votes }
}

/// Runs a mesh alone until `end`, and gives what it sends and says, each with its time.
fn run(mesh: &mut Mesh, from: Tick, end: Tick) -> Vec<(Tick, Step)> {
    let mut now = from;
    let mut steps = Vec::new();
    while now <= end {
        steps.push((now, mesh.tick(now)));
        let due = mesh.next_due(now);
        assert!(due > now, "the mesh never rests: {due:?} at {now:?}");
        now = due;
    }
    steps
}

fn sent(steps: &[(Tick, Step)], kind: &str) -> Vec<(Tick, Outgoing)> {
    let all = steps.iter().flat_map(|(at, step)| step.outgoing.iter().map(|out| (*at, out)));
    all.filter(|(_, out)| out.kind == kind).map(|(at, out)| (at, out.clone())).collect()
}

fn told(steps: &[(Tick, Step)]) -> Vec<(u64, PeerEvent)> {
    let start = Tick::START;
    let events = steps.iter().flat_map(|(at, step)| step.events.iter().map(move |e| (*at, e)));
    events.map(|(at, event)| (at.since(start).as_secs(), event.clone())).collect()
}

#[test]
fn a_change_waits_for_others_and_is_then_sent_once_beside_the_refresh() {
    let start = Tick::START;
    let mut mesh = mesh("eu", "a", Some(5), start);
    mesh.local(&votes(0..100, Verdict::Up), start);
    let steps = run(&mut mesh, start, start + 10 * SECOND);
    let pages = sent(&steps, "health");
    let at_debounce = pages.iter().filter(|(at, _)| *at == start + Duration::from_millis(200));
    assert_eq!(at_debounce.count(), 2, "100 votes are two pages: {pages:?}");
    assert_eq!(sent(&steps, "beat").len(), 3, "at 0, 5 and 10 s");
    let flip = start + 10 * SECOND;
    let mut changed = votes(0..100, Verdict::Up);
    changed.votes.iter_mut().for_each(|(_, vote)| vote.held = 10 * SECOND);
    mesh.local(&changed, flip);
    changed.votes[70].1 = vote(70, Verdict::Down, Duration::ZERO);
    mesh.local(&changed, flip);
    let steps = run(&mut mesh, flip, flip + SECOND);
    let pages = sent(&steps, "health");
    let news: Vec<Page> = pages
        .iter()
        .map(|(_, out)| Page::decode(&out.payload).unwrap())
        .filter(|page| page.seq == 2)
        .collect();
    assert_eq!(news.len(), 1, "the other page says the same");
    assert!(news[0].votes.iter().any(|vote| vote.verdict == Verdict::Down));
}

#[test]
fn every_page_is_sent_once_a_minute_spread_over_it() {
    let start = Tick::START;
    let mut mesh = mesh("eu", "a", Some(5), start);
    mesh.local(&votes(0..6_400, Verdict::Up), start);
    run(&mut mesh, start, start + 60 * SECOND);
    let steps = run(&mut mesh, start + 61 * SECOND, start + 121 * SECOND);
    let pages = sent(&steps, "health");
    assert!((100..=102).contains(&pages.len()), "{}", pages.len());
    let first_half = pages.iter().filter(|(at, _)| *at < start + 91 * SECOND).count();
    assert!((30..=70).contains(&first_half), "{first_half} of {}", pages.len());
}

#[test]
fn everything_down_costs_as_much_to_tell_as_everything_up() {
    let octets = |verdict| {
        let start = Tick::START;
        let mut mesh = mesh("eu", "a", Some(5), start);
        let mut said = votes(0..6_400, verdict);
        said.votes.iter_mut().for_each(|(_, vote)| vote.held = 1_000 * SECOND);
        mesh.local(&said, start);
        let steps = run(&mut mesh, start, start + 600 * SECOND);
        let sent = steps.iter().flat_map(|(_, step)| &step.outgoing);
        sent.map(|out| out.payload.len() + out.subject.len()).sum::<usize>()
    };
    let (up, down) = (octets(Verdict::Up), octets(Verdict::Down));
    assert!(down * 10 <= up * 11, "{down} octets while down, {up} while up");
}

#[test]
fn a_vote_stays_on_its_page_and_another_target_gets_another_page() {
    let start = Tick::START;
    let mut mesh = mesh("eu", "a", Some(5), start);
    let mut said = votes(0..70, Verdict::Up);
    said.votes.extend([(Arc::from("eu"), vote(1_000, Verdict::Up, Duration::ZERO))]);
    mesh.local(&said, start);
    let first = sent(&run(&mut mesh, start, start + SECOND), "health");
    assert_eq!(first.len(), 3, "two of us, one of eu");
    // The first vote goes, its place is taken by a new one, and the other pages are left alone.
    let now = start + 2 * SECOND;
    said.votes.iter_mut().for_each(|(_, vote)| vote.held = 2 * SECOND);
    said.votes.remove(0);
    said.votes.push((Arc::from("us"), vote(500, Verdict::Up, Duration::ZERO)));
    mesh.local(&said, now);
    let steps = run(&mut mesh, now, now + SECOND);
    let pages: Vec<Page> =
        sent(&steps, "health").iter().map(|(_, out)| Page::decode(&out.payload).unwrap()).collect();
    let news: Vec<&Page> = pages.iter().filter(|page| page.seq == 2).collect();
    assert_eq!(news.len(), 1, "{news:?}");
    assert_eq!((news[0].target.as_str(), news[0].votes.len()), ("us", 64));
}

#[test]
fn a_writer_is_late_after_ten_seconds_and_dead_after_twenty() {
    let start = Tick::START;
    let mut reader = mesh("us", "r", None, start);
    let mut writer = mesh("eu", "a", Some(5), start);
    let beat = sent(&run(&mut writer, start, start), "beat");
    let eu = prober("eu", "a");
    let events = reader.receive(&beat[0].1.subject, &beat[0].1.payload, start);
    let standing = |standing| PeerEvent::Standing { prober: eu.clone(), standing };
    assert_eq!(events, [standing(Standing::Live)]);
    // The same beat again, as an engine may deliver it, is no sign of life.
    let steps = run(&mut reader, start, start + 9 * SECOND);
    assert_eq!(told(&steps), [(6, PeerEvent::Link { up: true })]);
    reader.receive(&beat[0].1.subject, &beat[0].1.payload, start + 9 * SECOND);
    let steps = run(&mut reader, start + 9 * SECOND, start + 30 * SECOND);
    let expected = [(10, standing(Standing::Late)), (20, standing(Standing::Dead))];
    assert_eq!(told(&steps), expected);
}

#[test]
fn what_an_engine_remembers_is_known_but_does_not_live() {
    let start = Tick::START;
    let mut writer = mesh("eu", "a", Some(5), start);
    writer.local(&votes(0..1, Verdict::Up), start);
    let steps = run(&mut writer, start, start + SECOND);
    let (page, beat) = (&sent(&steps, "health")[0].1, &sent(&steps, "beat")[0].1);
    let mut reader = mesh("us", "r", None, start);
    let mut events = reader.recall(&page.subject, &page.payload, start);
    events.extend(reader.recall(&beat.subject, &beat.payload, start));
    let prober = prober("eu", "a");
    assert_eq!(
        events,
        [
            PeerEvent::Standing { prober: prober.clone(), standing: Standing::Dead },
            PeerEvent::Votes { prober, votes: vec![vote(0, Verdict::Up, Duration::ZERO)] },
        ]
    );
    assert_eq!(reader.mode(start), Mode::Live, "what was not heard cannot be missed");
}

#[test]
fn an_impaired_writer_says_so_at_once() {
    let start = Tick::START;
    let mut writer = mesh("eu", "a", Some(5), start);
    run(&mut writer, start, start + SECOND);
    let now = start + 2 * SECOND;
    writer.local(&LocalVotes { impaired: true, votes: Vec::new() }, now);
    let beats = sent(&run(&mut writer, now, now), "beat");
    let mut reader = mesh("us", "r", None, start);
    let events = reader.receive(&beats[0].1.subject, &beats[0].1.payload, now);
    let prober = prober("eu", "a");
    assert_eq!(events, [PeerEvent::Standing { prober, standing: Standing::Impaired }]);
}

#[test]
fn a_link_that_breaks_is_told_after_a_grace_and_one_that_returns_after_all_have_beaten() {
    let start = Tick::START;
    let mut reader = mesh("us", "r", None, start);
    let up = |up| PeerEvent::Link { up };
    assert_eq!(told(&run(&mut reader, start, start + 10 * SECOND)), [(6, up(true))]);
    reader.link(false, start + 20 * SECOND);
    reader.link(true, start + 25 * SECOND);
    assert_eq!(told(&run(&mut reader, start + 25 * SECOND, start + 40 * SECOND)), []);
    reader.link(false, start + 40 * SECOND);
    let steps = run(&mut reader, start + 40 * SECOND, start + 70 * SECOND);
    assert_eq!(told(&steps), [(50, up(false))]);
    assert!(steps.iter().all(|(_, step)| step.outgoing.is_empty()));
    reader.link(true, start + 70 * SECOND);
    let steps = run(&mut reader, start + 70 * SECOND, start + 80 * SECOND);
    assert_eq!(told(&steps), [(76, up(true))]);
}

#[test]
fn who_hears_fewer_than_half_of_the_regions_doubts_the_way() {
    let start = Tick::START;
    let mut reader = mesh("us", "r", None, start);
    run(&mut reader, start, start + 6 * SECOND);
    let now = start + 6 * SECOND;
    for region in ["eu", "ap"] {
        let mut writer = mesh(region, "a", Some(5), start);
        let beat = sent(&run(&mut writer, start, start), "beat");
        reader.receive(&beat[0].1.subject, &beat[0].1.payload, now);
    }
    assert_eq!(reader.mode(now), Mode::Live);
    assert_eq!(reader.mode(now + 12 * SECOND), Mode::Degraded);
    let steps = run(&mut reader, now, now + 30 * SECOND);
    let events: Vec<PeerEvent> = told(&steps).into_iter().map(|(_, event)| event).collect();
    let cut = events.iter().position(|event| *event == PeerEvent::Link { up: false }).unwrap();
    let dead =
        |event: &PeerEvent| matches!(event, PeerEvent::Standing { standing: Standing::Dead, .. });
    assert_eq!(cut, events.iter().position(dead).unwrap() - 1, "told before the first is dead");
    assert_eq!(reader.mode(now + 30 * SECOND), Mode::Isolated);
}

#[test]
fn a_double_with_a_later_start_makes_the_earlier_one_fall_silent() {
    let start = Tick::START;
    let mut earlier = mesh("eu", "a", Some(5), start);
    let mut later = mesh("eu", "a", Some(6), start);
    let (old, new) = (
        sent(&run(&mut earlier, start, start), "beat"),
        sent(&run(&mut later, start, start), "beat"),
    );
    later.receive(&old[0].1.subject, &old[0].1.payload, start);
    assert_eq!(later.cloned(), None);
    assert_eq!(later.take_counts().dropped, BTreeMap::from([(Dropped::Stale, 1)]));
    earlier.receive(&new[0].1.subject, &new[0].1.payload, start);
    assert_eq!(earlier.cloned(), Some(6));
    earlier.local(&votes(0..9, Verdict::Up), start + SECOND);
    let steps = run(&mut earlier, start + SECOND, start + 60 * SECOND);
    assert!(steps.iter().all(|(_, step)| step.outgoing.is_empty()));
}

#[test]
fn bad_messages_are_dropped_and_counted_by_reason() {
    let start = Tick::START;
    let mut writer = mesh("eu", "a", Some(5), start);
    writer.local(&votes(0..1, Verdict::Up), start);
    let steps = run(&mut writer, start, start + SECOND);
    let (page, beat) = (&sent(&steps, "health")[0].1, &sent(&steps, "beat")[0].1);
    let old = {
        let mut old = mesh("eu", "a", Some(4), start);
        old.local(&votes(0..1, Verdict::Down), start);
        sent(&run(&mut old, start, start + SECOND), "health")[0].1.clone()
    };
    for (what, subject, message, why) in [
        ("a foreign subject", "gslb.v1.load.eu.a", &beat.payload[..], Dropped::Foreign),
        ("a page of another", "gslb.v1.health.us.a.0", &page.payload, Dropped::Forged),
        ("a beat of another", "gslb.v1.beat.eu.b", &beat.payload, Dropped::Forged),
        ("a beat as a page", &page.subject, &beat.payload, Dropped::Malformed),
        ("an older start", &old.subject, &old.payload, Dropped::Stale),
        (
            "a request to another",
            "gslb.v1.need.eu.a",
            &Need { epoch: 5, pages: vec![] }.encode(),
            Dropped::Stale,
        ),
    ] {
        let mut reader = mesh("us", "r", None, start);
        reader.receive(&page.subject, &page.payload, start);
        reader.receive(&beat.subject, &beat.payload, start);
        let view = format!("{:?}", reader.view(start));
        assert_eq!(reader.receive(subject, message, start), [], "{what}");
        assert_eq!(reader.take_counts().dropped, BTreeMap::from([(why, 1)]), "{what}");
        assert_eq!(format!("{:?}", reader.view(start)), view, "{what}");
    }
}

#[test]
fn the_number_of_writers_is_bounded_and_who_is_long_silent_is_forgotten() {
    let start = Tick::START;
    let mut reader = mesh("us", "r", None, start);
    let page = |n: u64| {
        let writer = prober("eu", &format!("n{n}"));
        let votes = vec![vote(1, Verdict::Up, Duration::ZERO)];
        let page = Page { writer: writer.clone(), epoch: 5, seq: 1, target: "us".into(), votes };
        (Subjects::new("gslb").subject(&Channel::Health { writer, page: 0 }), page.encode())
    };
    for n in 0..=PEERS_MAX as u64 {
        let (subject, message) = page(n);
        reader.receive(&subject, &message, start);
    }
    assert_eq!(reader.take_counts().dropped, BTreeMap::from([(Dropped::Full, 1)]));
    let step = reader.tick(start + Duration::from_secs(1_200));
    let withdrawals = step.events.iter().filter(|event| {
        matches!(event, PeerEvent::Votes { votes, .. }
            if votes.iter().all(|vote| vote.verdict == Verdict::Unknown))
    });
    assert_eq!(withdrawals.count(), PEERS_MAX);
    assert_eq!(reader.standings(start).count(), 0);
}

#[test]
fn what_leaves_a_page_is_withdrawn_unless_it_stands_on_another() {
    let start = Tick::START;
    let mut reader = mesh("us", "r", None, start);
    let writer = prober("eu", "a");
    let mut put = |number: u32, seq: u64, subjects: &[u64]| {
        let votes = subjects.iter().map(|n| vote(*n, Verdict::Up, Duration::ZERO)).collect();
        let page = Page { writer: writer.clone(), epoch: 5, seq, target: "us".into(), votes };
        let channel = Channel::Health { writer: writer.clone(), page: number };
        let subject = Subjects::new("gslb").subject(&channel);
        let events = reader.receive(&subject, &page.encode(), start);
        let votes = events.into_iter().filter_map(|event| match event {
            PeerEvent::Votes { votes, .. } => Some(votes),
            _ => None,
        });
        let said = votes.flatten().map(|vote| (vote.subject.0, vote.verdict));
        said.collect::<Vec<_>>()
    };
    assert_eq!(put(0, 1, &[1, 2]), [(1, Verdict::Up), (2, Verdict::Up)]);
    assert_eq!(put(1, 1, &[2, 3]), [(2, Verdict::Up), (3, Verdict::Up)]);
    assert_eq!(put(0, 2, &[]), [(1, Verdict::Unknown), (2, Verdict::Up)]);
    assert_eq!(put(1, 2, &[]), [(2, Verdict::Unknown), (3, Verdict::Unknown)]);
    assert_eq!(put(1, 1, &[2, 3]), [], "an older one changes nothing");
}

#[test]
fn all_views_are_equal_soon_after_messages_are_lost_repeated_and_reordered() {
    for seed in 0..3 {
        let mut world = World::new(seed, 50, Pace::default(), true);
        world.trouble(120 * SECOND);
        world.calm(REFRESH + 2 * BEAT);
        assert_eq!(world.differences(), 0, "seed {seed}");
    }
}

#[test]
fn sending_all_again_heals_by_itself_where_nobody_may_ask() {
    let mut world = World::new(11, 20, Pace::default(), false);
    world.trouble(60 * SECOND);
    world.calm(REFRESH + 2 * BEAT);
    assert_eq!(world.differences(), 0);
}

#[test]
fn without_sending_again_lost_pages_stay_lost() {
    let never = Pace { refresh: Duration::from_secs(1_000_000) };
    let mut world = World::new(11, 20, never, false);
    world.trouble(60 * SECOND);
    world.calm(REFRESH + 2 * BEAT);
    assert!(world.differences() > 0, "the test above would show it");
}
