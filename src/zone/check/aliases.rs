//! CNAME records that lead to each other in a circle.

use super::{Check, shown};

/// Most names of a loop shown.
const SHOWN_MAX: usize = 6;

impl Check<'_> {
    /// Finds every loop of CNAME records in the zone, in time linear in their number but for the
    /// look-ups.
    pub(super) fn alias_loops(&mut self) {
        let cnames = std::mem::take(&mut self.cnames);
        let next = |at: usize| {
            let target = cnames.get(at)?.rdata.to_ascii_lowercase();
            cnames.binary_search_by(|cname| cname.owner.cmp(&target)).ok()
        };
        // The walk each record was seen on; 0 is none.
        let mut seen = vec![0u32; cnames.len()];
        for (walk, start) in (1u32..).zip(0..cnames.len()) {
            let mut at = Some(start);
            while let Some(here) = at {
                match seen.get_mut(here) {
                    Some(seen) if *seen == 0 => *seen = walk,
                    Some(seen) if *seen == walk => break,
                    _ => at = None,
                }
                at = at.and_then(&next);
            }
            let Some(first) = at else { continue };
            let circle =
                std::iter::successors(Some(first), |here| next(*here).filter(|h| *h != first));
            let mut names: Vec<String> = circle
                .take(SHOWN_MAX + 1)
                .filter_map(|at| cnames.get(at).map(|cname| shown(cname.owner)))
                .collect();
            if names.len() > SHOWN_MAX {
                names.pop();
                names.push("…".to_owned());
            }
            let Some(record) = cnames.get(first) else { continue };
            names.push(shown(record.owner));
            let what = || format!("CNAME records in a loop: {}", names.join(" → "));
            self.error(record, what, "let one of them lead to an address");
        }
    }
}
