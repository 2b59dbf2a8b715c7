//! The methods of a policy applied one after the other to the regions still eligible.

use super::opinion::split_by_rank;
use super::{Local, Opinion, nearest};
use crate::model::Method;

/// What one method made of the ranking before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The method's name.
    pub method: &'static str,
    /// Whether it could tell regions apart that the methods before it left together.
    pub spoke: bool,
    /// The regions after it, best tier first; those of one tier tie.
    pub tiers: Vec<Vec<Local>>,
}

/// Ranks `regions` by `methods`, each with its opinion. The result is the tiers,
/// best first; `steps` receives what each method made of them.
pub(super) fn rank(
    methods: &[Method],
    opinions: &[Opinion],
    regions: &[Local],
    mut steps: Option<&mut Vec<Step>>,
) -> Vec<Vec<Local>> {
    let mut tiers = vec![regions.to_vec()];
    for (method, opinion) in methods.iter().zip(opinions) {
        match (method, opinion) {
            (Method::Nearest { count, .. }, opinion) => {
                let bands = if let Opinion::Bands(bands) = opinion { Some(bands) } else { None };
                tiers = nearest::keep(tiers, *count, bands);
            }
            // Regions that a strict fence forbids do not come this far (`allowed`).
            (_, Opinion::None | Opinion::Strict(_)) => {}
            (_, Opinion::Ranks(ranks)) => refine(&mut tiers, |tier| split_by_rank(ranks, tier)),
            (_, Opinion::Bands(bands)) => refine(&mut tiers, |tier| bands.split(tier)),
        }
        if let Some(steps) = steps.as_deref_mut() {
            let spoke = *opinion != Opinion::None || matches!(method, Method::Nearest { .. });
            steps.push(Step { method: method.name(), spoke, tiers: tiers.clone() });
        }
    }
    tiers
}

/// Splits each tier further, keeping their order.
fn refine(tiers: &mut Vec<Vec<Local>>, split: impl Fn(&[Local]) -> Vec<Vec<Local>>) {
    *tiers = tiers
        .drain(..)
        .flat_map(|tier| if tier.len() > 1 { split(&tier) } else { vec![tier] })
        .collect();
}
