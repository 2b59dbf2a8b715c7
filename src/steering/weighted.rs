//! The method `weighted`: random by weight, with exact shares.

use super::pick::{Chosen, Contenders};

/// Draws up to `want` different candidates, each time by weight among those left.
pub(super) fn pick(contenders: &Contenders, random: u64, want: usize, chosen: &mut Chosen) {
    chosen.push(contenders.holding(random));
    let mut random = random;
    for _ in 1..want {
        random = super::pick::next(random);
        let left = |at: &usize| !chosen.excludes(contenders, *at);
        let total: u64 = (0..contenders.len()).filter(left).map(|at| contenders.weight(at)).sum();
        if total == 0 {
            break;
        }
        let mut point = scale(random, total);
        let drawn = (0..contenders.len()).filter(left).find(|at| {
            let weight = contenders.weight(*at);
            let hit = point < weight;
            point = point.saturating_sub(weight);
            hit
        });
        let Some(drawn) = drawn else { break };
        chosen.push(drawn);
    }
}

/// A uniform number below `total` from 64 random bits.
fn scale(random: u64, total: u64) -> u64 {
    ((u128::from(random) * u128::from(total)) >> 64) as u64
}
