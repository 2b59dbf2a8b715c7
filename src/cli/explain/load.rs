//! What is supposed of load.

use crate::clock::Tick;
use crate::load::Sample;
use crate::snapshot::{Event, Publisher};

/// Reads `REGION=NUMBER`.
pub(super) fn supposed(text: &str) -> Result<(String, f64), String> {
    let read = text.split_once('=').and_then(|(region, number)| {
        let number = number.parse::<f64>().ok().filter(|number| (0.0..=1e9).contains(number))?;
        Some((region.to_owned(), number))
    });
    read.ok_or_else(|| "expected a region and its requests a second, such as `eu=800`".to_owned())
}

/// Supposes these loads of regions, in every pool.
pub(super) fn suppose(publisher: &mut Publisher, loads: &[(String, f64)], now: Tick) {
    for pool in &publisher.loaded().model.fleet.pools {
        for (region, requests) in loads {
            let sample = Sample { requests: *requests, ..Sample::default() };
            // The error is that there are more pools than anybody has.
            let _ = publisher.loads().report(&pool.name, region, "supposed", sample, now);
        }
    }
    publisher.apply(Event::Tick, now);
    publisher.publish();
}
