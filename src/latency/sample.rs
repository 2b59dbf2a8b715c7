//! A small fleet for the tests of this module.

use crate::model::{Fleet, Region};
use crate::place::{Country, Place, Point};

/// Frankfurt (`eu`), Virginia (`us`) and Mumbai (`ap`).
pub(super) fn fleet() -> Fleet {
    let region = |name: &str, latitude, longitude| Region {
        name: name.to_owned(),
        point: Point { latitude, longitude },
        country: None,
        continent: None,
    };
    let regions = [("eu", 50.11, 8.68), ("us", 38.95, -77.45), ("ap", 19.08, 72.88)];
    Fleet { regions: regions.map(|(n, lat, lon)| region(n, lat, lon)).to_vec(), ..Fleet::default() }
}

/// A place in a country.
pub(super) fn place(country: &str, latitude: f64, longitude: f64) -> Place {
    let (country, point) = (Country::parse(country), Point::new(latitude, longitude));
    Place { country, point, ..Place::default() }
}
