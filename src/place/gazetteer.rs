//! The compiled-in gazetteer: a point for every country, and the data-centre regions of clouds.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{Continent, Country, Point};
use crate::diagnostic::nearest;

/// Countries with the town that is nearest to their people.
const COUNTRIES: &str = include_str!("../../geoip/country_points.csv");
/// Regions of cloud providers with the name and coordinates of their city.
const CLOUD_REGIONS: &str = include_str!("../../geoip/cloud_regions.csv");

/// A country of the gazetteer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CountryPoint {
    /// The English short name.
    pub name: &'static str,
    /// The continent it is counted to.
    pub continent: Continent,
    /// The town with the least mean distance to the people of the country.
    pub point: Point,
}

/// What a location text of the configuration stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spot {
    /// Coordinates.
    pub point: Point,
    /// The country.
    pub country: Option<Country>,
    /// The continent of the country.
    pub continent: Option<Continent>,
}

/// Finds a cloud preset (`aws:eu-central-1`), a country (`DE`, `Germany`), or a city that has a
/// cloud region (`Frankfurt`, `Frankfurt/DE`); letters of any case.
pub fn locate(text: &str) -> Option<Spot> {
    let text = text.trim().to_lowercase();
    if let Some(spot) = Country::parse(&text).and_then(spot_of) {
        return Some(spot);
    }
    let (name, within) = match text.split_once('/') {
        Some((name, code)) => (name.trim_end(), Some(Country::parse(code.trim_start())?)),
        None => (text.as_str(), None),
    };
    let candidates = GAZETTEER.spots.get(name).map_or(&[][..], Vec::as_slice);
    candidates.iter().copied().find(|spot| within.is_none() || spot.country == within)
}

/// The known name that was probably meant by a text that [`locate`] does not find.
pub fn suggest(text: &str) -> Option<&'static str> {
    let text = text.trim().to_lowercase();
    let presets = || GAZETTEER.presets.iter();
    // `eu-central-1`: the first provider that has such a region.
    if let Some(preset) = presets().find(|preset| preset.region.eq_ignore_ascii_case(&text)) {
        return Some(&preset.key);
    }
    // `aws:frankfurt`: the provider's region in that city.
    let (provider, city) = text.split_once(':').unwrap_or_default();
    let of_provider = || presets().filter(|preset| preset.provider == provider);
    let in_city = |preset: &&Preset| preset.name.to_lowercase().contains(city);
    if let Some(preset) = of_provider().find(in_city).filter(|_| !city.is_empty()) {
        return Some(&preset.key);
    }
    let known = &GAZETTEER.names;
    if let Some(name) = nearest(&text, known.iter().map(|known| known.folded.as_str())) {
        return known.iter().find(|known| known.folded == name).map(|known| known.shown.as_str());
    }
    // Any region of the provider shows the form at least.
    of_provider().next().map(|preset| preset.key.as_str())
}

/// The country of this code; `None` for codes that ISO 3166 has not assigned.
pub fn country(code: Country) -> Option<&'static CountryPoint> {
    GAZETTEER.countries.get(&code)
}

/// The country and continent of the known place nearest to `point`.
///
/// A guess for regions given by coordinates alone: good for continents, near borders not for
/// countries.
pub fn nearest_country(point: Point) -> (Country, Continent) {
    let mut best = (f64::INFINITY, (Country(*b"AQ"), Continent::Antarctica));
    for (anchor, place) in &GAZETTEER.anchors {
        let distance = anchor.distance_km(point);
        if distance < best.0 {
            best = (distance, *place);
        }
    }
    best.1
}

/// A name that [`locate`] knows.
#[derive(Debug)]
struct KnownName {
    /// In lower case.
    folded: String,
    /// As written in the data.
    shown: String,
}

/// One region of a cloud provider.
#[derive(Debug)]
struct Preset {
    /// `PROVIDER:REGION`.
    key: String,
    provider: &'static str,
    region: &'static str,
    /// What the provider calls the place, mostly its city.
    name: String,
}

/// The parsed data.
#[derive(Debug, Default)]
struct Gazetteer {
    countries: HashMap<Country, CountryPoint>,
    presets: Vec<Preset>,
    /// All that a name in lower case may mean, best first.
    spots: HashMap<String, Vec<Spot>>,
    /// For suggestions, in the order of the data.
    names: Vec<KnownName>,
    /// Places whose country is certain.
    anchors: Vec<(Point, (Country, Continent))>,
}

static GAZETTEER: LazyLock<Gazetteer> = LazyLock::new(|| {
    let mut gazetteer = Gazetteer::default();
    for line in COUNTRIES.lines().skip(1) {
        gazetteer.add_country(line);
    }
    for line in CLOUD_REGIONS.lines().skip(1) {
        gazetteer.add_region(line);
    }
    gazetteer
});

impl Gazetteer {
    /// Adds a line `country,iso3,name,continent,population,rep_lat,rep_lon,…`; says whether it was
    /// whole.
    fn add_country(&mut self, line: &'static str) -> bool {
        let mut fields = fields(line);
        let mut field = |skipped| fields.nth(skipped);
        let (Some(code), Some(name), Some(continent), Some(latitude), Some(longitude)) =
            (field(0), field(1), field(0), field(1), field(0))
        else {
            return false;
        };
        let (Some(code), Some(continent), Some(point)) =
            (Country::parse(code), Continent::parse(continent), read_point(latitude, longitude))
        else {
            return false;
        };
        self.countries.insert(code, CountryPoint { name, continent, point });
        self.anchors.push((point, (code, continent)));
        let spot = Spot { point, country: Some(code), continent: Some(continent) };
        self.add_name(name, spot);
        if let Some(bare) = name.strip_prefix("The ") {
            self.add_name(bare, spot);
        }
        true
    }

    /// Adds a line `provider,region,name,country,lat,lon,source`; says whether it was whole.
    fn add_region(&mut self, line: &'static str) -> bool {
        let mut fields = fields(line);
        let mut field = || fields.next();
        let place = (field(), field(), field(), field());
        let (Some(provider), Some(region), Some(name), Some(code)) = place else {
            return false;
        };
        let (Some(latitude), Some(longitude)) = (field(), field()) else {
            return false;
        };
        let (Some(code), Some(point)) = (Country::parse(code), read_point(latitude, longitude))
        else {
            return false;
        };
        let continent = self.countries.get(&code).map(|country| country.continent);
        self.anchors.extend(continent.map(|continent| (point, (code, continent))));
        let spot = Spot { point, country: Some(code), continent };
        let key = format!("{provider}:{region}");
        self.add_name(&key, spot);
        self.presets.push(Preset { key, provider, region, name: name.to_owned() });
        self.add_name(name, spot);
        let city = city(name);
        if city != name && city != "Central" {
            self.add_name(city, spot);
        }
        true
    }

    /// Makes `name` known; earlier meanings of the same name are tried first.
    fn add_name(&mut self, name: &str, spot: Spot) {
        let folded = name.to_lowercase();
        let meanings = self.spots.entry(folded.clone()).or_default();
        if meanings.is_empty() {
            self.names.push(KnownName { folded, shown: name.to_owned() });
        }
        if !meanings.iter().any(|known| known.country == spot.country) {
            meanings.push(spot);
        }
    }
}

/// The spot of a country.
fn spot_of(code: Country) -> Option<Spot> {
    let CountryPoint { point, continent, .. } = *country(code)?;
    Some(Spot { point, country: Some(code), continent: Some(continent) })
}

/// The city in a provider's name of a place: `Asia Pacific (Tokyo)`, `Dallas, TX`, `Dallas 2`.
fn city(name: &str) -> &str {
    let inner = name.split_once('(').map_or(name, |(_, rest)| rest.trim_end_matches(')'));
    let city = inner.split(',').next().unwrap_or(inner);
    city.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ')
}

/// The fields of one line of comma-separated values; a field that holds commas is quoted.
fn fields(line: &'static str) -> impl Iterator<Item = &'static str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let (field, after) = match text.strip_prefix('"').and_then(|text| text.split_once('"')) {
            Some((field, after)) => (field, after.strip_prefix(',')),
            None => {
                text.split_once(',').map_or((text, None), |(field, after)| (field, Some(after)))
            }
        };
        rest = after;
        Some(field.trim())
    })
}

/// A point from two decimal texts.
fn read_point(latitude: &str, longitude: &str) -> Option<Point> {
    Point::new(latitude.parse().ok()?, longitude.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `CC latitude longitude` with whole degrees.
    fn shown(spot: Spot) -> String {
        let country = spot.country.map_or_else(String::new, |country| country.to_string());
        format!("{country} {:.0} {:.0}", spot.point.latitude, spot.point.longitude)
    }

    #[test]
    fn every_line_of_the_data_is_read() {
        let mut gazetteer = Gazetteer::default();
        for line in COUNTRIES.lines().skip(1) {
            assert!(gazetteer.add_country(line), "{line}");
        }
        for line in CLOUD_REGIONS.lines().skip(1) {
            assert!(gazetteer.add_region(line), "{line}");
        }
        assert_eq!((gazetteer.countries.len(), gazetteer.presets.len()), (249, 268));
        assert!(gazetteer.spots.values().flatten().all(|spot| spot.continent.is_some()));
    }

    #[test]
    fn lines_that_are_not_whole_are_left_out() {
        let mut gazetteer = Gazetteer::default();
        for line in ["", "DE", "DE,DEU,Germany,EU,1,x,y", "D,DEU,Germany,EUR,1,50.0,8.0", "\""] {
            assert!(!gazetteer.add_country(line), "{line}");
            assert!(!gazetteer.add_region(line), "{line}");
        }
        assert!(gazetteer.names.is_empty());
    }

    #[test]
    fn locates_presets_countries_and_cities() {
        for (text, expected) in [
            ("aws:eu-central-1", Some("DE 50 9")),
            ("AWS:EU-Central-1", Some("DE 50 9")),
            ("gcp:asia-south1", Some("IN 19 73")),
            ("DE", Some("DE 52 9")),
            ("de", Some("DE 52 9")),
            ("Germany", Some("DE 52 9")),
            ("NA", Some("NA -23 17")),
            ("bonaire, saint eustatius and saba", Some("BQ 12 -68")),
            ("The Netherlands", Some("NL 52 5")),
            ("Netherlands", Some("NL 52 5")),
            ("Frankfurt", Some("DE 50 9")),
            ("Frankfurt/DE", Some("DE 50 9")),
            ("frankfurt / de", Some("DE 50 9")),
            ("Frankfurt/FR", None),
            ("Frankfurt/Germany", None),
            ("São Paulo", Some("BR -24 -47")),
            ("Tokyo", Some("JP 36 140")),
            ("Columbus", Some("US 40 -83")),
            ("Dallas", Some("US 33 -97")),
            ("Central", None),
            ("aws:eu-central-9", None),
            ("ZZ", None),
            ("", None),
            ("Atlantis", None),
        ] {
            assert_eq!(locate(text).map(shown).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn suggests_what_was_probably_meant() {
        for (text, expected) in [
            ("aws:eu-centrl-1", Some("aws:eu-central-1")),
            ("Germny", Some("Germany")),
            ("frankfrut", Some("Frankfurt")),
            ("eu-central-1", Some("alibaba:eu-central-1")),
            ("asia-south1", Some("gcp:asia-south1")),
            ("aws:frankfurt", Some("aws:eu-central-1")),
            ("aws:", Some("aws:af-south-1")),
            ("some-cloud:of-nobody-at-all", None),
            ("Middle-earth and its seas", None),
        ] {
            assert_eq!(suggest(text), expected, "{text}");
        }
    }

    #[test]
    fn finds_the_nearest_country() {
        for (latitude, longitude, expected) in [
            (38.95, -77.45, ("US", Continent::NorthAmerica)),
            (50.11, 8.68, ("DE", Continent::Europe)),
            (1.3, 103.8, ("SG", Continent::Asia)),
            (-33.9, 151.2, ("AU", Continent::Oceania)),
            (32.7, -117.1, ("US", Continent::NorthAmerica)),
        ] {
            let (country, continent) = nearest_country(Point::new(latitude, longitude).unwrap());
            assert_eq!((country.as_str(), continent), expected);
        }
    }
}
