//! A report as text and as comma-separated values.

use std::fmt;

use super::report::{CountryReport, Latency, PoolReport, Report, ServiceReport, Time};
use crate::cli::output::percent;
use crate::diagnostic::count;

/// Countries shown; the values for programs have all.
const COUNTRIES_MAX: usize = 10;
/// Moves shown.
const MOVES_MAX: usize = 8;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, prefixes, fail, .. } = self;
        writeln!(f, "{} in {prefixes} prefixes", count(*clients as usize, "client"))?;
        if let Some(requests) = self.requests {
            writeln!(f, "{requests:.0} requests/s in all, {}", self.requests_from)?;
        }
        writeln!(f, "round trips {}", self.latency_from)?;
        match fail.as_slice() {
            [] => writeln!(f, "nothing fails")?,
            fail => writeln!(f, "{} fails", fail.join(" and "))?,
        }
        for service in &self.services {
            write!(f, "\n{service}")?;
        }
        if !self.pools.is_empty() && self.requests.is_some() {
            writeln!(
                f,
                "\n{:<32} {:>12} {:>12} {:>10}",
                "requests/s", "before", "after", "capacity"
            )?;
            for pool in &self.pools {
                writeln!(f, "{pool}")?;
            }
        }
        for warning in &self.warnings {
            write!(f, "\nwarning: {warning}")?;
        }
        if !self.warnings.is_empty() || self.fail.is_empty() {
            return Ok(());
        }
        f.write_str(if self.pools.iter().any(|pool| pool.capacity.is_some()) {
            "\nthe survivors can carry it, as far as capacities are known"
        } else {
            "\nwhether the survivors can carry it is not known: no pool has `capacity`"
        })
    }
}

impl fmt::Display for ServiceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<32} {:>12} {:>12}", self.service, "before", "after")?;
        for share in &self.regions {
            let (before, after) = (percent(share.before), percent(share.after));
            writeln!(f, "  {:<30} {before:>12} {after:>12}", share.region)?;
        }
        if self.unanswered.iter().any(|share| *share > 0.0) {
            let [before, after] = self.unanswered.map(percent);
            writeln!(f, "  {:<30} {before:>12} {after:>12}", "no answer")?;
        }
        writeln!(f, "  {:<30} {}", "round trips, 50 / 95 / 99 %", self.latency)?;
        writeln!(f, "  {} of the clients move", percent(self.moved))?;
        let nowhere = || "no answer".to_owned();
        for one in self.moves.iter().take(MOVES_MAX) {
            let from = one.from.clone().unwrap_or_else(nowhere);
            let to = one.to.clone().unwrap_or_else(nowhere);
            writeln!(f, "    {:>7} from {from} to {to}", percent(one.share))?;
        }
        if let Some(time) = &self.time {
            writeln!(f, "  {time}")?;
        }
        writeln!(
            f,
            "  {:<10} {:>7} {:>8}  round trips, 50 / 95 / 99 %",
            "country", "share", "move"
        )?;
        for country in self.countries.iter().take(COUNTRIES_MAX) {
            writeln!(f, "  {country}")?;
        }
        if let Some(more @ 1..) = self.countries.len().checked_sub(COUNTRIES_MAX) {
            writeln!(f, "  and {more} more")?;
        }
        Ok(())
    }
}

impl fmt::Display for CountryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (share, moved) = (percent(self.share), percent(self.moved));
        write!(f, "{:<10} {share:>7} {moved:>8}  {}", self.country, self.latency)
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |at: usize| {
            let of = [self.median_ms, self.p95_ms, self.p99_ms];
            let words = of.map(|pair| {
                let ms = pair.get(at).copied().flatten();
                ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string())
            });
            words.join(" / ")
        };
        write!(f, "{} ms, then {} ms", side(0), side(1))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { monitor, found, half, p95, all, model } = self;
        match monitor {
            Some(monitor) => write!(f, "found after {found:.0} s by monitor `{monitor}`")?,
            None => f.write_str("known at once, since nothing is monitored")?,
        }
        write!(f, "; half have moved after {half:.0} s, 95 % after {p95:.0} s, ")?;
        write!(f, "all after {all:.0} s ({model})")
    }
}

impl fmt::Display for PoolReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pool, region, before, after, capacity } = self;
        let of = |load: &f64| match capacity {
            Some(capacity) => format!("{load:.0} {:>5.0} %", load / capacity * 100.0),
            None => format!("{load:.0}        "),
        };
        let capacity = capacity.map_or_else(|| "-".to_owned(), |c| format!("{c:.0}"));
        let place = format!("{pool} {region}");
        write!(f, "  {place:<30} {:>12} {:>12} {capacity:>10}", of(before), of(after))
    }
}

impl Report {
    /// A line for each service, country and region, with numbers of clients.
    pub(super) fn csv(&self) -> String {
        let mut lines = vec!["service,country,region,before,after".to_owned()];
        for service in &self.services {
            for country in &service.countries {
                for (region, [before, after]) in &country.regions {
                    let (name, country) = (&service.service, &country.country);
                    lines.push(format!("{name},{country},{region},{before},{after}"));
                }
            }
        }
        lines.join("\n")
    }
}
