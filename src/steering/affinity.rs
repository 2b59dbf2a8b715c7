//! The method `affinity`: weighted rendezvous hashing of the client's prefix.
//!
//! Each candidate draws a number from (client prefix, candidate) and scales it by its weight; the
//! highest wins (Thaler and Ravishankar 1998; the weights as in Schindelhauer and Schomaker 2005).
//! When one goes, only its own clients move. Regions are drawn before endpoints, by region name, so
//! that A and AAAA land in the same region; a region draws with its full configured weight, so that
//! an endpoint's loss moves clients within its region only.

use super::pick::{Chosen, Contenders, mix};

/// Picks the `want` best for the client whose prefix hashes to `client`.
pub(super) fn pick(contenders: &Contenders, client: u64, want: usize, chosen: &mut Chosen) {
    for _ in 0..want.min(contenders.len()) {
        let left = (0..contenders.len()).filter(|at| !chosen.excludes(contenders, *at));
        let best = left
            .map(|at| {
                let (region, region_weight) = contenders.region(at);
                let key = (
                    score(client, region, region_weight),
                    score(client, contenders.key(at), contenders.weight(at)),
                );
                (key, at)
            })
            .max_by(|(a, _), (b, _)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let Some((_, best)) = best else { break };
        chosen.push(best);
    }
}

/// The number that (`client`, `key`) draws, scaled so that the chance to be the highest of several
/// is in proportion to the weight.
fn score(client: u64, key: u64, weight: u64) -> f64 {
    // 53 bits fill a double's fraction; the half keeps the logarithm finite.
    let uniform = ((mix(client, key) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    weight as f64 / -uniform.ln()
}
