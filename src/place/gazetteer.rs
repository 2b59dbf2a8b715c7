//! The compiled-in gazetteer: cloud regions, countries and cities.

use super::{Continent, Country, Point};

/// A place that a text names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spot {
    /// Its coordinates.
    pub point: Point,
    /// Its country.
    pub country: Option<Country>,
    /// Its continent.
    pub continent: Option<Continent>,
}

/// A country as one point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CountryPoint {
    /// Its English name.
    pub name: &'static str,
    /// Its continent.
    pub continent: Continent,
    /// Its representative point.
    pub point: Point,
}

/// Code, name, continent, latitude, longitude.
const COUNTRIES: [(&str, &str, Continent, f64, f64); 5] = [
    ("DE", "Germany", Continent::Europe, 50.94, 8.68),
    ("US", "United States", Continent::NorthAmerica, 39.1, -84.5),
    ("IN", "India", Continent::Asia, 22.7, 75.9),
    ("BR", "Brazil", Continent::SouthAmerica, -22.9, -47.1),
    ("JP", "Japan", Continent::Asia, 35.2, 137.0),
];

/// Name, country, latitude, longitude.
const PLACES: [(&str, &str, f64, f64); 6] = [
    ("aws:eu-central-1", "DE", 50.11, 8.68),
    ("aws:us-east-1", "US", 39.04, -77.49),
    ("aws:ap-south-1", "IN", 19.08, 72.88),
    ("gcp:asia-south1", "IN", 19.08, 72.88),
    ("gcp:us-east1", "US", 33.2, -80.01),
    ("Frankfurt", "DE", 50.11, 8.68),
];

/// The place of this name: `aws:eu-central-1`, `DE`, `Germany`, `Frankfurt`, `Frankfurt/DE`.
pub fn locate(text: &str) -> Option<Spot> {
    let place = PLACES.iter().find(|(name, country, ..)| {
        *name == text || text.split_once('/').is_some_and(|both| both == (*name, *country))
    });
    if let Some((_, code, latitude, longitude)) = place {
        let code = Country::parse(code)?;
        let point = Point::new(*latitude, *longitude)?;
        return Some(Spot {
            point,
            country: Some(code),
            continent: Some(country(code)?.continent),
        });
    }
    let (code, ..) = COUNTRIES.iter().find(|(code, name, ..)| *code == text || *name == text)?;
    let code = Country::parse(code)?;
    let found = country(code)?;
    Some(Spot { point: found.point, country: Some(code), continent: Some(found.continent) })
}

/// The known name nearest to a misspelt one.
pub fn suggest(text: &str) -> Option<&'static str> {
    let countries = COUNTRIES.iter().map(|(_, name, ..)| *name);
    crate::diagnostic::nearest(text, PLACES.iter().map(|(name, ..)| *name).chain(countries))
}

/// What is known of a country.
pub fn country(code: Country) -> Option<CountryPoint> {
    let (_, name, continent, latitude, longitude) =
        COUNTRIES.iter().find(|(known, ..)| *known == code.as_str())?;
    Some(CountryPoint { name, continent: *continent, point: Point::new(*latitude, *longitude)? })
}

/// The country whose point is nearest.
pub fn nearest_country(point: Point) -> (Country, Continent) {
    let mut best = (f64::INFINITY, Country::parse("DE"), Continent::Europe);
    for (code, _, continent, latitude, longitude) in COUNTRIES {
        if let Some(other) = Point::new(latitude, longitude) {
            let distance = point.distance_km(other);
            if distance < best.0 {
                best = (distance, Country::parse(code), continent);
            }
        }
    }
    (best.1.unwrap_or(Country([b'D', b'E'])), best.2)
}
