//! Places on the globe: points, countries, continents, and the compiled-in gazetteer.

pub mod gazetteer;

use std::fmt;

/// A sample of the world's address prefixes with place and weight, as comma-separated rows below a
/// head; NOTICE says whose data it is drawn from.
pub const CLIENT_SAMPLE: &str = include_str!("../../tests/data/client_sample.csv");

/// Mean radius of the Earth in kilometres (IUGG mean radius R1).
const EARTH_RADIUS_KM: f64 = 6371.0088;

/// A point on the globe, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// North is positive, -90 to 90.
    pub latitude: f64,
    /// East is positive, -180 to 180.
    pub longitude: f64,
}

impl Point {
    /// A point, when both degrees are in range.
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let valid = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        valid.then_some(Self { latitude, longitude })
    }

    /// Great-circle distance in kilometres, by the haversine formula.
    pub fn distance_km(self, other: Point) -> f64 {
        let (from, to) = (self.latitude.to_radians(), other.latitude.to_radians());
        let latitudes = ((to - from) / 2.0).sin().powi(2);
        let longitudes = ((other.longitude - self.longitude).to_radians() / 2.0).sin().powi(2);
        let haversine = (latitudes + from.cos() * to.cos() * longitudes).clamp(0.0, 1.0);
        2.0 * EARTH_RADIUS_KM * haversine.sqrt().asin()
    }
}

/// An ISO 3166-1 alpha-2 country code, in upper case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

impl Country {
    /// Reads two letters of any case; whether such a country exists is the gazetteer's matter.
    pub fn parse(text: &str) -> Option<Self> {
        let code: [u8; 2] = text.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_alphabetic).then(|| Self(code.map(|c| c.to_ascii_uppercase())))
    }

    /// The two letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A continent, by the two-letter code that geo databases use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Continent {
    /// AF
    Africa,
    /// AN
    Antarctica,
    /// AS
    Asia,
    /// EU
    Europe,
    /// NA
    NorthAmerica,
    /// OC
    Oceania,
    /// SA
    SouthAmerica,
}

impl Continent {
    /// Reads a two-letter code.
    pub fn parse(code: &str) -> Option<Self> {
        Some(match code {
            "AF" => Self::Africa,
            "AN" => Self::Antarctica,
            "AS" => Self::Asia,
            "EU" => Self::Europe,
            "NA" => Self::NorthAmerica,
            "OC" => Self::Oceania,
            "SA" => Self::SouthAmerica,
            _ => return None,
        })
    }

    /// The two-letter code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Africa => "AF",
            Self::Antarctica => "AN",
            Self::Asia => "AS",
            Self::Europe => "EU",
            Self::NorthAmerica => "NA",
            Self::Oceania => "OC",
            Self::SouthAmerica => "SA",
        }
    }
}

impl fmt::Display for Continent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What is known of where an address is; every part may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    /// The country.
    pub country: Option<Country>,
    /// The continent; filled from the country where a database leaves it out.
    pub continent: Option<Continent>,
    /// Coordinates; the country's representative point where a database leaves them out.
    pub point: Option<Point>,
    /// The autonomous system that announces the address.
    pub asn: Option<u32>,
}

impl Place {
    /// Whether anything is known of where the address is; an autonomous system says who it is.
    pub fn is_located(&self) -> bool {
        self.country.is_some() || self.continent.is_some() || self.point.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_great_circles() {
        let frankfurt = Point::new(50.11, 8.68).unwrap();
        let ashburn = Point::new(39.04, -77.49).unwrap();
        let distance = frankfurt.distance_km(ashburn);
        assert!((6500.0..6600.0).contains(&distance), "{distance}");
        assert!(frankfurt.distance_km(frankfurt) < 1e-9);
        let (east, west) = (Point::new(0.0, 179.9).unwrap(), Point::new(0.0, -179.9).unwrap());
        assert!(east.distance_km(west) < 23.0, "across the date line");
        assert_eq!(Point::new(91.0, 0.0), None);
    }
}
