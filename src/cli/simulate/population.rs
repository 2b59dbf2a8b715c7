//! Who the clients are: prefixes with their place and weight.

use std::net::IpAddr;
use std::path::Path;

use crate::diagnostic::Diagnostics;
use crate::geo::Ground;
use crate::place::{CLIENT_SAMPLE, Country, Point};
use crate::prefix::Prefix;
use crate::rows::Rows;
use crate::steering::mix;

/// Clients of one prefix.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Group {
    /// Their prefix.
    pub(super) prefix: Prefix,
    /// Where they are, as far as it is known.
    pub(in crate::cli) country: Option<Country>,
    /// Likewise.
    pub(super) point: Option<Point>,
    /// How many there are, in any unit.
    pub(in crate::cli) weight: f64,
}

impl Group {
    /// The address of one of its clients.
    pub(in crate::cli) fn address(&self, number: u64) -> IpAddr {
        let host = |bits: u32, length: u8| {
            let free = bits - u32::from(length).min(bits);
            if free == 0 { 0 } else { u128::from(mix(number, 7)) & (u128::MAX >> (128 - free)) }
        };
        let length = self.prefix.length();
        match self.prefix.address() {
            IpAddr::V4(v4) => IpAddr::from((u32::from(v4) | host(32, length) as u32).to_be_bytes()),
            IpAddr::V6(v6) => IpAddr::from((u128::from(v6) | host(128, length)).to_be_bytes()),
        }
    }
}

/// Reads a population; what a row does not say of a place, the databases do.
pub(in crate::cli) fn read(
    path: Option<&Path>,
    ground: &Ground,
) -> Result<Vec<Group>, Diagnostics> {
    let mut rows = match path {
        Some(path) => Rows::open(path)?,
        None => Rows::new("client_sample.csv", CLIENT_SAMPLE),
    };
    let prefix = rows.column("prefix", true);
    let weight = rows.column("weight", false);
    let [country, lat, lon] = ["country", "lat", "lon"].map(|name| rows.column(name, false));
    let mut groups = Vec::new();
    for row in rows.rows() {
        let field = row.field(prefix.unwrap_or_default());
        let Ok(prefix) = field.text.trim().parse::<Prefix>() else {
            let what = format!("`{}` is not a prefix", field.text);
            rows.mistake(&field, what, "such as `203.0.113.0/24` or `2001:db8::/32`");
            continue;
        };
        let weight = match weight {
            Some(_) => rows.number(&row, weight, (0.0, 1e15)),
            None => Some(1.0),
        };
        let Some(weight) = weight else { continue };
        let place = ground.client(prefix.address()).place;
        let named = Country::parse(row.text(country).trim());
        let empty = row.text(lat).trim().is_empty() || row.text(lon).trim().is_empty();
        let point = if empty {
            place.point
        } else {
            let lat = rows.number(&row, lat, (-90.0, 90.0));
            let lon = rows.number(&row, lon, (-180.0, 180.0));
            lat.zip(lon).and_then(|(lat, lon)| Point::new(lat, lon))
        };
        groups.push(Group { prefix, country: named.or(place.country), point, weight });
    }
    rows.finish(groups)
}

/// How many of `clients` each group has, in proportion to weights; the rounding goes on from group
/// to group, so that the sum is right.
pub(in crate::cli) fn apportion(groups: &[Group], clients: u64) -> Vec<u64> {
    let total: f64 = groups.iter().map(|group| group.weight).sum();
    let (mut sum, mut given) = (0.0, 0);
    let share = |group: &Group| {
        sum += group.weight;
        let upto = if total > 0.0 { (sum / total * clients as f64).round() as u64 } else { 0 };
        let own = upto.saturating_sub(given);
        given += own;
        own
    };
    groups.iter().map(share).collect()
}
