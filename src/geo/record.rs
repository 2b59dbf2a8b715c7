//! One record of a geo database, read leniently in MaxMind's nested layout or the flat one.

use std::fmt;
use std::marker::PhantomData;

use maxminddb::deserialize_any_with_raw_strings;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::place::{Continent, Country, Place, Point, gazetteer};

/// What steering needs of a record.
///
/// Fields of unexpected types count as missing; values that cannot be decoded are errors.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    /// What the record says; nothing is filled in.
    pub(super) place: Place,
    /// Work that reading took: one for each value and each 16 octets of text.
    pub(super) cost: u64,
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Value::deserialize(deserializer)?;
        Ok(Self { place: place_of(&fields), cost: fields.cost })
    }
}

/// Picks the parts of a place out of the fields.
fn place_of(fields: &Value<'_>) -> Place {
    let country = |text: Option<&str>| {
        // Codes that stand for no country ("EU", "ZZ") leave the question to the next database.
        text.and_then(Country::parse).filter(|code| gazetteer::country(*code).is_some())
    };
    let [lat, lon] = fields.coordinates;
    // Databases write 0, 0 where they know no point; nobody lives there.
    let known = |(lat, lon): &(f64, f64)| *lat != 0.0 || *lon != 0.0;
    let point = lat.zip(lon).filter(known).and_then(|(lat, lon)| Point::new(lat, lon));
    Place {
        country: country(fields.country).or_else(|| country(fields.registered_country)),
        continent: fields.continent.and_then(Continent::parse),
        point,
        asn: fields.asn,
    }
}

/// Any value of a record, reduced to what a field of interest may hold.
///
/// The members of maps inside a record are taken as the record's own where only one layout uses
/// them: `location.latitude` is `latitude`, `country.iso_code` the text of `country`.
#[derive(Debug, Default)]
struct Value<'de> {
    cost: u64,
    text: Option<&'de str>,
    number: Option<f64>,
    country: Option<&'de str>,
    registered_country: Option<&'de str>,
    continent: Option<&'de str>,
    coordinates: [Option<f64>; 2],
    asn: Option<u32>,
}

impl<'de> Value<'de> {
    fn text(text: &'de str) -> Self {
        let cost = 1 + text.len() as u64 / 16;
        Self { cost, text: Some(text), ..Self::default() }
    }

    fn number(number: f64) -> Self {
        Self { cost: 1, number: Some(number), ..Self::default() }
    }

    /// A decimal number, also as text.
    fn as_number(&self) -> Option<f64> {
        self.number.or_else(|| self.text?.parse().ok()).filter(|number| number.is_finite())
    }

    /// An AS number, also as text and with `AS` before it; 0 means none (RFC 7607).
    fn as_asn(&self) -> Option<u32> {
        let number = match self.text {
            Some(text) => text.strip_prefix("AS").unwrap_or(text).parse().ok()?,
            None => {
                self.number.filter(|n| n.fract() == 0.0 && (0.0..4_294_967_296.0).contains(n))?
                    as u32
            }
        };
        Some(number).filter(|asn| *asn != 0)
    }

    /// Takes over a member of a map.
    fn take(&mut self, field: Field, value: &Value<'de>) {
        match field {
            Field::Code => self.text = value.text,
            // In the flat layout `country` may be a name beside `country_code`.
            Field::Country => self.country = self.country.or(value.text),
            Field::CountryCode => self.country = value.text.or(self.country),
            Field::RegisteredCountry => self.registered_country = value.text,
            Field::Continent => self.continent = self.continent.or(value.text),
            Field::ContinentCode => self.continent = value.text.or(self.continent),
            Field::Latitude => self.coordinates[0] = value.as_number(),
            Field::Longitude => self.coordinates[1] = value.as_number(),
            Field::Location if value.coordinates == [None; 2] => {}
            Field::Location => self.coordinates = value.coordinates,
            Field::Asn => self.asn = value.as_asn(),
            Field::Traits => self.asn = self.asn.or(value.asn),
        }
    }
}

/// A member of a record, or of a map inside one, that is looked at.
#[derive(Clone, Copy, Debug)]
enum Field {
    Code,
    Country,
    CountryCode,
    RegisteredCountry,
    Continent,
    ContinentCode,
    Latitude,
    Longitude,
    Location,
    Asn,
    Traits,
}

impl Field {
    /// The field of this key; `None` for all others.
    fn of(key: &str) -> Option<Self> {
        Some(match key {
            "iso_code" | "code" => Self::Code,
            "country" => Self::Country,
            "country_code" => Self::CountryCode,
            "registered_country" => Self::RegisteredCountry,
            "continent" => Self::Continent,
            "continent_code" => Self::ContinentCode,
            "latitude" => Self::Latitude,
            "longitude" => Self::Longitude,
            "location" => Self::Location,
            "autonomous_system_number" | "asn" => Self::Asn,
            "traits" => Self::Traits,
            _ => return None,
        })
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor(PhantomData))
    }
}

struct ValueVisitor<'de>(PhantomData<&'de ()>);

impl<'de> Visitor<'de> for ValueVisitor<'de> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value { cost: 1, ..Value::default() })
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::number(number as f64))
    }

    fn visit_u128<E>(self, number: u128) -> Result<Value<'de>, E> {
        Ok(Value::number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::text(text))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value<'de>, E> {
        Ok(Value { cost: 1 + bytes.len() as u64 / 16, ..Value::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Value<'de>, A::Error> {
        let Skipped { cost } = SkippedVisitor.visit_seq(seq)?;
        Ok(Value { cost, ..Value::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut all = Value { cost: 1, ..Value::default() };
        while let Some(key) = map.next_key::<&'de str>()? {
            all.cost += 1 + key.len() as u64 / 16;
            match Field::of(key) {
                Some(field) => {
                    let value = map.next_value::<Value<'de>>()?;
                    all.cost += value.cost;
                    all.take(field, &value);
                }
                None => all.cost += map.next_value::<Skipped>()?.cost,
            }
        }
        Ok(all)
    }
}

/// A value that is decoded, so that a broken one is noticed, and counted.
#[derive(Debug)]
struct Skipped {
    cost: u64,
}

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_any_with_raw_strings(deserializer, SkippedVisitor)
    }
}

struct SkippedVisitor;

impl<'de> Visitor<'de> for SkippedVisitor {
    type Value = Skipped;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Skipped, E> {
        Ok(Skipped { cost: 1 })
    }

    fn visit_i64<E>(self, _: i64) -> Result<Skipped, E> {
        Ok(Skipped { cost: 1 })
    }

    fn visit_u64<E>(self, _: u64) -> Result<Skipped, E> {
        Ok(Skipped { cost: 1 })
    }

    fn visit_u128<E>(self, _: u128) -> Result<Skipped, E> {
        Ok(Skipped { cost: 1 })
    }

    fn visit_f64<E>(self, _: f64) -> Result<Skipped, E> {
        Ok(Skipped { cost: 1 })
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Skipped, E> {
        Ok(Skipped { cost: 1 })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, _: D) -> Result<Skipped, D::Error> {
        Ok(Skipped { cost: 1 })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Skipped, A::Error> {
        let mut cost = 1;
        while let Some(value) = seq.next_element::<Skipped>()? {
            cost += value.cost;
        }
        Ok(Skipped { cost })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Skipped, A::Error> {
        let mut cost = 1;
        while map.next_key::<IgnoredAny>()?.is_some() {
            cost += 1 + map.next_value::<Skipped>()?.cost;
        }
        Ok(Skipped { cost })
    }
}
