//! Where a client is, as `explain` shows it.

use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::report::Word;
use crate::place::Place;

/// A client, and where it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Located {
    address: IpAddr,
    country: Option<String>,
    continent: Option<Word>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    asn: Option<u32>,
    network: Option<String>,
}

impl Located {
    /// A client at `address`, which is at `place`.
    pub(super) fn new(address: IpAddr, place: &Place, network: Option<String>) -> Self {
        Self {
            address,
            country: place.country.map(|country| country.to_string()),
            continent: place.continent.map(|continent| continent.code().into()),
            latitude: place.point.map(|point| point.latitude),
            longitude: place.point.map(|point| point.longitude),
            asn: place.asn,
            network,
        }
    }
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        match (&self.country, &self.continent) {
            (Some(country), Some(continent)) => write!(f, ", {country} ({continent})")?,
            (None, Some(continent)) => write!(f, ", {continent}")?,
            (Some(country), None) => write!(f, ", {country}")?,
            (None, None) => write!(f, ", place unknown")?,
        }
        if let (Some(latitude), Some(longitude)) = (self.latitude, self.longitude) {
            write!(f, " at {latitude:.1}, {longitude:.1}")?;
        }
        if let Some(asn) = self.asn {
            write!(f, ", AS{asn}")?;
        }
        match &self.network {
            Some(network) => write!(f, ", in network {network}"),
            None => Ok(()),
        }
    }
}
