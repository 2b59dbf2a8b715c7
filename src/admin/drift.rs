//! Tells of peers that serve another configuration than this node.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::events::{Events, Happening};
use crate::cluster::Attendant;
use crate::health::Prober;

/// Tells of them as they come and go, until `stop`.
pub async fn watch_drift(
    mut attendants: watch::Receiver<Vec<Attendant>>,
    events: Arc<Events>,
    stop: CancellationToken,
) {
    let mut known = BTreeMap::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = attendants.changed() => if changed.is_err() {
                // A task that ended would look like a fault of the node.
                return stop.cancelled().await;
            },
        }
        let now = drifted(&attendants.borrow_and_update());
        for what in news(&known, &now) {
            if let Happening::Drift { region, peer, drifted, digest } = &what {
                let digest = digest.as_deref().unwrap_or_default();
                if *drifted {
                    warn!(region, peer, digest, "a peer serves another configuration");
                } else {
                    info!(region, peer, "a peer serves the same configuration again, or is silent");
                }
            }
            events.tell(what);
        }
        known = now;
    }
}

/// The peers that differ, and the digests of what they serve.
type Differing = BTreeMap<Prober, u64>;

fn drifted(list: &[Attendant]) -> Differing {
    let drifted = list.iter().filter(|one| one.drifted);
    drifted.filter_map(|one| Some((one.peer.clone(), one.config?))).collect()
}

/// What is to be told when the peers that differ were those, and are these.
fn news(old: &Differing, new: &Differing) -> Vec<Happening> {
    let told = |peer: &Prober, config: Option<u64>| Happening::Drift {
        region: peer.region.clone(),
        peer: peer.node.clone(),
        drifted: config.is_some(),
        digest: config.map(|config| format!("{config:012x}")),
    };
    let gone = old.keys().filter(|peer| !new.contains_key(*peer)).map(|peer| told(peer, None));
    let fresh = new.iter().filter(|(peer, config)| old.get(*peer) != Some(*config));
    gone.chain(fresh.map(|(peer, config)| told(peer, Some(*config)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Tick;
    use crate::cluster::Roles;
    use crate::health::Standing;

    #[test]
    fn each_peer_is_told_of_when_it_differs_and_when_it_no_longer_does() {
        let peer = |node: &str, config, drifted| Attendant {
            peer: Prober { region: "eu".into(), node: node.into() },
            roles: Roles::default(),
            version: String::new(),
            config: Some(config),
            heard: Tick::START,
            standing: Standing::Live,
            drifted,
        };
        let words = |before: &[Attendant], now: &[Attendant]| -> Vec<String> {
            let word = |what| match what {
                Happening::Drift { peer, digest, .. } => format!("{peer} {digest:?}"),
                other => panic!("{other:?}"),
            };
            news(&drifted(before), &drifted(now)).into_iter().map(word).collect()
        };
        let (a, b) = (peer("a", 0xabc, true), peer("b", 1, true));
        let both = [a.clone(), b.clone(), peer("alike", 1, false)];
        assert_eq!(words(&[], &both), ["a Some(\"000000000abc\")", "b Some(\"000000000001\")"]);
        assert_eq!(words(&both, &both), [""; 0]);
        assert_eq!(words(&both, std::slice::from_ref(&b)), ["a None"]);
        assert_eq!(words(&[b], &[peer("b", 2, true)]), ["b Some(\"000000000002\")"], "another one");
    }
}
