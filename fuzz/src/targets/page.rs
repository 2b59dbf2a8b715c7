//! Anything another node may send: it is dropped, or read as something that could have been sent.

use meridian::clock::Tick;
use meridian::cluster::{
    Beat, ChallengePage, Identity, LENGTH_MAX, LoadPage, Mesh, Need, Pace, Page, Presence, Report,
    VOTES_MAX,
};
use meridian::health::Prober;

/// The first octet says where the message comes in, the rest is the message.
pub fn run(input: &[u8]) {
    let Some((place, message)) = input.split_first() else { return };
    // What was read must be read alike again.
    if let Ok(page) = Page::decode(message) {
        assert!(page.votes.len() <= VOTES_MAX && message.len() <= LENGTH_MAX, "{page:?}");
        assert_eq!(Page::decode(&page.encode()), Ok(page));
    }
    if let Ok(beat) = Beat::decode(message) {
        assert_eq!(Beat::decode(&beat.encode()), Ok(beat));
    }
    if let Ok(need) = Need::decode(message) {
        assert_eq!(Need::decode(&need.encode()), Ok(need));
    }
    if let Ok(report) = Report::decode(message) {
        assert_eq!(Report::decode(&report.encode()), Ok(report));
    }
    if let Ok(page) = LoadPage::decode(message) {
        assert_eq!(LoadPage::decode(&page.encode()), Ok(page));
    }
    if let Ok(page) = ChallengePage::decode(message) {
        assert_eq!(ChallengePage::decode(&page.encode()), Ok(page));
    }
    if let Ok(presence) = Presence::decode(message) {
        assert_eq!(Presence::decode(&presence.encode()), Ok(presence));
    }
    let me = Prober { region: "eu".into(), node: "me".into() };
    let identity = Identity { me, epoch: Some(5), prefix: "gslb".into() };
    let now = Tick::START;
    let mut mesh = Mesh::new(identity, Pace::default(), now, fastrand::Rng::with_seed(1));
    mesh.link(true, now);
    let subject = match place % 7 {
        0 => "gslb.v1.health.eu.fra-1.0",
        1 => "gslb.v1.beat.eu.fra-1",
        2 => "gslb.v1.need.eu.me",
        3 => "gslb.v1.health.eu.me.0",
        4 => "gslb.v1.beat.eu.me",
        5 => "gslb.v1.latency.eu.fra-1.0",
        _ => &String::from_utf8_lossy(message),
    };
    let told = mesh.receive(subject, message, now).len();
    assert!(told <= 2, "a standing and votes at most: {told}");
    let again = mesh.receive(subject, message, now);
    assert!(again.is_empty(), "what is known is not told again: {again:?}");
    mesh.tick(now);
}
