//! Who votes on health, and what they say.

use prometheus::proto::MetricFamily;

use super::families::gauges;
use crate::health::{Mode, Seat, Verdict};
use crate::model::RegionId;
use crate::snapshot::State;

/// The mode of this node, the standing of each probing region, and votes on each endpoint.
pub(super) fn votes(state: &State) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let model = &state.loaded.model;
    let region = |id: RegionId| model.fleet.region(id).name.clone();
    let council = &state.council;
    let flag = |is: bool| f64::from(u8::from(is));
    let modes = Mode::ALL.map(|mode| (vec![mode.as_str().to_owned()], flag(mode == council.mode)));
    let mut families = gauges(
        "meridian_cluster_mode",
        "1 for how far this node can rely on its peers: alone, live, degraded or isolated.",
        &["mode"],
        modes,
    )?;
    families.extend(gauges(
        "meridian_prober_suspect",
        "1 while most of the fleet seems to fail at once to this node, 0 else.",
        &[],
        [(Vec::new(), flag(council.suspect))],
    )?);
    let seats = council.seats.iter().flat_map(|(id, seat)| {
        let name = region(*id);
        Seat::ALL.map(|other| (vec![name.clone(), other.as_str().to_owned()], flag(other == *seat)))
    });
    families.extend(gauges(
        "meridian_vantage_state",
        "1 for the state of a probing region; live and late ones vote.",
        &["vantage", "state"],
        seats,
    )?);
    let (counts, dissent) = said(state);
    families.extend(gauges(
        "meridian_endpoint_votes",
        "Probing regions by what they say of an endpoint; unknown ones do not vote.",
        &["pool", "region", "endpoint", "verdict"],
        counts,
    )?);
    families.extend(gauges(
        "meridian_endpoint_vote",
        "What each probing region says of an endpoint that one of them calls down.",
        &["pool", "region", "endpoint", "vantage"],
        dissent,
    )?);
    Ok(families)
}

/// Samples by their labels.
type Samples = Vec<(Vec<String>, f64)>;

/// How many regions say what of each endpoint, and what each says of those that one calls down.
fn said(state: &State) -> (Samples, Samples) {
    let model = &state.loaded.model;
    let region = |id: RegionId| model.fleet.region(id).name.clone();
    let (mut counts, mut dissent) = (Vec::new(), Vec::new());
    for (endpoint, health) in model.fleet.endpoints.iter().zip(&state.health) {
        let votes = &health.votes;
        if votes.is_empty() {
            continue;
        }
        let names = [
            model.fleet.pool(endpoint.pool).name.clone(),
            region(endpoint.region),
            endpoint.address.to_string(),
        ];
        for verdict in [Verdict::Up, Verdict::Down, Verdict::Unknown] {
            let count = votes.iter().filter(|vote| vote.verdict == verdict).count();
            let word = verdict.as_str().to_owned();
            counts.push(([&names[..], &[word]].concat(), count as f64));
        }
        // Endpoints times regions are many; while all say up there is nothing to tell.
        if votes.iter().any(|vote| vote.verdict == Verdict::Down) {
            let said = votes.iter().map(|vote| {
                let value = match vote.verdict {
                    Verdict::Up => 1.0,
                    Verdict::Unknown => 0.5,
                    Verdict::Down => 0.0,
                };
                ([&names[..], &[region(vote.region)]].concat(), value)
            });
            dissent.extend(said);
        }
    }
    (counts, dissent)
}
