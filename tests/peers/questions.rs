//! Questions about the generated zone.

use fastrand::Rng;

use crate::mesh::{CHAINS, CUTS, DNAMES, EMPTY, HOSTS, ORIGIN, WILD, mixed};
use crate::support::wire::Ask;

/// Types asked for: those in the zone, some that are not, and unknown ones. ANY is left out, since
/// RFC 8482 section 4 lets a server answer it in three ways, and so are the types that are no data
/// (RFC 6895 section 3.1: OPT, 128 to 255).
const TYPES: [u16; 32] = [
    1, 1, 1, 28, 2, 5, 6, 12, 13, 15, 16, 17, 18, 29, 33, 35, 39, 43, 44, 46, 47, 48, 52, 59, 64,
    65, 99, 256, 257, 65280, 65281, 3,
];

/// A question of a random sort.
pub(crate) fn question(rng: &mut Rng) -> Ask {
    let name = name(rng);
    let absolute = match name.as_str() {
        "@" => ORIGIN.to_owned(),
        outside if outside.ends_with('.') => name,
        _ => format!("{name}.{ORIGIN}"),
    };
    let absolute = if rng.u8(..4) == 0 { mixed(rng, &absolute) } else { absolute };
    let ask = Ask::new(&absolute, TYPES[rng.usize(..TYPES.len())]);
    if rng.bool() { ask.with_edns() } else { ask }
}

fn name(rng: &mut Rng) -> String {
    let word = ["x", "a", "b", "ns", "deep", "known", "hollow", "below", "*", "ns.deep", "a.b"];
    let word = word[rng.usize(..word.len())];
    match rng.u8(..20) {
        0 => "@".to_owned(),
        1..=4 => format!("host{}", rng.usize(..HOSTS)),
        5 => format!("{word}.host{}", rng.usize(..HOSTS)),
        6 => format!("empty{}", rng.usize(..EMPTY)),
        7 => format!("{word}.b.empty{}", rng.usize(..EMPTY)),
        8 => format!("wild{}", rng.usize(..WILD)),
        9 | 10 => format!("{word}.wild{}", rng.usize(..WILD)),
        11 => format!("{word}.{word}.wild{}", rng.usize(..WILD)),
        12 => format!("cut{}", rng.usize(..CUTS)),
        13 => format!("{word}.cut{}", rng.usize(..CUTS)),
        14 | 15 => format!("link{}.chain{}", rng.usize(..5), rng.usize(..CHAINS)),
        16 => format!("alias{}", rng.usize(..DNAMES)),
        17 => format!("{word}.alias{}", rng.usize(..DNAMES)),
        18 => format!("host{}.alias{}", rng.usize(..HOSTS), rng.usize(..DNAMES)),
        _ => rare(rng, word),
    }
}

/// Names of which a few are enough: missing, outside, too long for a DNAME.
fn rare(rng: &mut Rng, word: &str) -> String {
    match rng.u8(..5) {
        0 => format!("missing{}", rng.u8(..)),
        1 => format!("{word}.missing{}", rng.u8(..)),
        2 => format!("{word}.elsewhere.example."),
        3 => "test.".to_owned(),
        _ => {
            let label = "o".repeat(rng.usize(20..60));
            format!("{label}.{label}.alias{}", rng.usize(..DNAMES))
        }
    }
}
