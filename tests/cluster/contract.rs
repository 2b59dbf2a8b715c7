//! What both engines hold.

use std::sync::Arc;

use meridian::cluster::{Control, ControlError, Entries, Signal};
use meridian::health::{PeerEvent, Standing, Verdict};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::node::{Ground, PATIENCE};

const PAGE: &str = "meridian.v1.health.eu.a.0";

#[tokio::test(flavor = "multi_thread")]
async fn a_message_reaches_every_other_node_that_listens_and_not_its_sender() {
    for ground in Ground::all() {
        let mut nodes = [("eu", "a"), ("us", "b"), ("us", "c")].map(|(r, n)| ground.node(r, n));
        for node in &mut nodes {
            node.up().await;
        }
        // The subscriptions of all are there once each has heard one.
        let [a, b, c] = &mut nodes;
        crate::bus::acquaint(a, b, c).await;
        a.say("health", PAGE, "page");
        a.say("need", "meridian.v1.need.us.b", "need");
        a.say("beat", "meridian.v1.beat.eu.a", "beat");
        let name = ground.name();
        // Messages of one subject keep their order, those of several need not.
        for (node, expected) in [(&mut *b, &["beat", "need", "page"][..]), (c, &["beat", "page"])] {
            let mut heard = Vec::new();
            for _ in expected {
                heard.push(node.message().await.1);
            }
            heard.sort();
            assert_eq!(heard, expected, "{name}: {}", node.me.node);
        }
        b.say("beat", "meridian.v1.beat.us.b", "end");
        assert_eq!(a.message().await.1, "end", "{name}: it does not hear itself");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_later_learns_what_was_said_last() {
    for ground in Ground::all() {
        ground.prepare().await;
        let mut early = ground.node("eu", "a");
        early.up().await;
        for text in ["first", "second"] {
            early.say("health", PAGE, text);
        }
        early.say("beat", "meridian.v1.beat.eu.a", "beat");
        // Heard back through another node, so that the engine has all of it.
        let mut later = ground.node("us", "b");
        let mut kept = std::collections::BTreeMap::new();
        later
            .until("what was kept", |signal| {
                // A stream may be read before the last message has come to it.
                if let Signal::Recalled { subject, payload }
                | Signal::Message { subject, payload } = signal
                {
                    // Whoever looked over the bus has left empty messages.
                    if !payload.is_empty() {
                        let text = String::from_utf8_lossy(payload).into_owned();
                        kept.insert(subject.clone(), text);
                    }
                }
                let whole = kept.get(PAGE).is_some_and(|text| text == "second");
                (whole && kept.len() == 2).then_some(())
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn votes_of_one_node_are_heard_by_another() {
    for ground in Ground::all() {
        let a = ground.node("eu", "a").share(Some(5));
        let mut b = ground.node("us", "b").share(None);
        a.say(Verdict::Up);
        b.hear_votes(&a.me, Verdict::Up).await;
        a.say(Verdict::Down);
        b.hear_votes(&a.me, Verdict::Down).await;
        a.say(Verdict::Up);
        let live = PeerEvent::Standing { prober: a.me.clone(), standing: Standing::Live };
        let (mut lives, mut again) = (b.lives, false);
        b.hear("a beat, and votes", |event| {
            lives |= *event == live;
            again |= matches!(event, PeerEvent::Votes { .. });
            lives && again
        })
        .await;
        assert_eq!(b.metrics.cluster.link.get(), 1, "{}", ground.name());
    }
}

/// Waits until the table is as `wanted` says.
async fn seen(
    table: &mut watch::Receiver<Arc<Entries>>,
    wanted: impl FnMut(&Arc<Entries>) -> bool,
) {
    let found = timeout(PATIENCE, table.wait_for(wanted)).await;
    found.expect("the table in time").expect("an engine that lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_change_the_table_by_compare_and_set() {
    for ground in Ground::all() {
        ground.prepare().await;
        let (name, state) = (ground.name(), TempDir::new().unwrap());
        let (control, _guard) = ground.control(state.path());
        let mut table = control.watch();
        seen(&mut table, |table| table.current && table.entries.is_empty()).await;
        let first = control.put("override.region.eu", "drain", 0).await.unwrap();
        assert_eq!(control.put("override.region.eu", "x", 0).await, Err(ControlError::Conflict));
        let second = control.put("override.region.eu", "down", first).await.unwrap();
        assert!(second > first, "{name}");
        assert_eq!(
            control.put("override.region.eu", "x", first).await,
            Err(ControlError::Conflict)
        );
        let other = control.put("drill.1", "{}", 0).await.unwrap();
        seen(&mut table, |table| {
            let found = table.entries.iter().map(|(k, e)| (k.as_str(), &*e.value, e.revision));
            found.eq([("drill.1", "{}", other), ("override.region.eu", "down", second)])
        })
        .await;
        assert_eq!(control.delete("drill.1", second).await, Err(ControlError::Conflict));
        assert_eq!(control.delete("drill.2", 1).await, Err(ControlError::Conflict));
        assert_eq!(control.delete("drill.1", other).await, Ok(()));
        assert_eq!(control.delete("drill.1", other).await, Err(ControlError::Conflict));
        seen(&mut table, |table| table.entries.len() == 1).await;
        let again = control.put("drill.1", "again", 0).await;
        assert!(again.is_ok_and(|revision| revision > other), "{name}: a key may come back");
        for key in ["", ".a", "a.", "a..b", "a b", "a*", ">", "ä"] {
            let refused = control.put(key, "x", 0).await;
            assert!(matches!(refused, Err(ControlError::Invalid(_))), "{name}: {key}");
        }
        let long = "x".repeat((64 << 10) + 1);
        assert!(matches!(control.put("k", &long, 0).await, Err(ControlError::Invalid(_))));
        later_sees_the_same(&ground, &state).await;
    }
}

/// Whoever opens the table later sees what was put.
async fn later_sees_the_same(ground: &Ground, state: &TempDir) {
    let (control, _guard) = ground.control(state.path());
    let control: Control = control;
    let mut table = control.watch();
    seen(&mut table, |table| {
        let keys: Vec<&str> = table.entries.keys().map(String::as_str).collect();
        table.current && keys == ["drill.1", "override.region.eu"]
    })
    .await;
}
