//! The method `rotate`: all that remain, starting at another one each time.

use super::pick::{Chosen, Contenders};

/// Takes up to `want` candidates in order, from a random one on.
pub(super) fn pick(contenders: &Contenders, random: u64, want: usize, chosen: &mut Chosen) {
    let count = contenders.len();
    let start = contenders.holding(random);
    for at in (start..count).chain(0..start) {
        if chosen.len() == want {
            break;
        }
        if !chosen.excludes(contenders, at) {
            chosen.push(at);
        }
    }
}
