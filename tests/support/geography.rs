//! The slow oracle: where a client is and which place is nearest, worked out straight from the
//! data files, without the server's code.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use maxminddb::{PathElement, Reader};

/// Latitude and longitude in degrees.
pub(crate) type Degrees = (f64, f64);

/// The project's geo database and country list.
pub(crate) struct Geography {
    database: Reader<Vec<u8>>,
    countries: HashMap<String, (Degrees, String)>,
}

impl Geography {
    /// Reads the files in `geoip/`.
    pub(crate) fn load() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("geoip");
        let database = Reader::open_readfile(folder.join("country.mmdb")).expect("a database");
        let countries = csv(&folder.join("country_points.csv"))
            .into_iter()
            .map(|row| (row["country"].clone(), (degrees(&row, "rep_"), row["continent"].clone())))
            .collect();
        Self { database, countries }
    }

    /// The two-letter code of the country of an address.
    pub(crate) fn country(&self, address: IpAddr) -> Option<String> {
        let found = self.database.lookup(folded(address)).expect("a look-up");
        let path = [PathElement::Key("country_code")];
        found.decode_path::<String>(&path).expect("a country code").filter(|code| code.len() == 2)
    }

    /// Where an address is taken to be, and on which continent.
    pub(crate) fn place(&self, address: IpAddr) -> Option<(Degrees, &str)> {
        let (point, continent) = self.countries.get(&self.country(address)?)?;
        Some((*point, continent))
    }

    /// The last address of the database's network that holds `address`.
    pub(crate) fn network_end(&self, address: IpAddr) -> IpAddr {
        let found = self.database.lookup(address).expect("a look-up");
        let network = found.network().expect("a network");
        last_of(address, network.prefix())
    }
}

/// The coordinates of a preset such as `aws:eu-central-1`.
pub(crate) fn preset(name: &str) -> Degrees {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("geoip/cloud_regions.csv");
    let (provider, region) = name.split_once(':').expect("PROVIDER:REGION");
    let rows = csv(&path);
    let row = rows.iter().find(|row| row["provider"] == provider && row["region"] == region);
    degrees(row.expect("a known preset"), "")
}

/// The prefixes of the client sample, as first address and length.
pub(crate) fn client_sample() -> Vec<(IpAddr, u8)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/client_sample.csv");
    let read = |row: HashMap<String, String>| {
        let (address, length) = row["prefix"].split_once('/')?;
        Some((address.parse().ok()?, length.parse().ok()?))
    };
    csv(&path).into_iter().map(|row| read(row).expect("a prefix")).collect()
}

/// Great-circle distance in kilometres.
pub(crate) fn distance_km(from: Degrees, to: Degrees) -> f64 {
    let radians = |(lat, lon): Degrees| (lat.to_radians(), lon.to_radians());
    let ((lat1, lon1), (lat2, lon2)) = (radians(from), radians(to));
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let chord = half(lat2 - lat1) + lat1.cos() * lat2.cos() * half(lon2 - lon1);
    2.0 * 6371.0088 * chord.sqrt().min(1.0).asin()
}

/// The highest address of the prefix of `length` bits that holds `address`.
pub(crate) fn last_of(address: IpAddr, length: u8) -> IpAddr {
    let host = |bits: u8| if bits == 128 { u128::MAX } else { (1u128 << bits) - 1 };
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4) | host(32 - length) as u32).into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) | host(128 - length)).into(),
    }
}

/// The lowest address of the prefix of `length` bits that holds `address`.
pub(crate) fn first_of(address: IpAddr, length: u8) -> IpAddr {
    match (address, last_of(address, length), last_of(zero(address), length)) {
        (_, IpAddr::V4(last), IpAddr::V4(host)) => {
            Ipv4Addr::from(u32::from(last) & !u32::from(host)).into()
        }
        (_, IpAddr::V6(last), IpAddr::V6(host)) => {
            Ipv6Addr::from(u128::from(last) & !u128::from(host)).into()
        }
        (other, _, _) => other,
    }
}

/// The address after this one; `None` after the last.
pub(crate) fn next(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => u32::from(v4).checked_add(1).map(|next| Ipv4Addr::from(next).into()),
        IpAddr::V6(v6) => u128::from(v6).checked_add(1).map(|next| Ipv6Addr::from(next).into()),
    }
}

/// Address zero of the same family.
fn zero(address: IpAddr) -> IpAddr {
    if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// IPv4 carried inside IPv6 counts as the IPv4 address: mapped, NAT64, 6to4 and Teredo.
fn folded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let octets = v6.octets();
    let v4 = |at: usize| Ipv4Addr::from([0, 1, 2, 3].map(|next| octets[at + next])).into();
    match octets[..12] {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
        | [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0]
        | [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0] => v4(12),
        [0x20, 0x02, ..] => v4(2),
        [0x20, 0x01, 0, 0, ..] => Ipv4Addr::from(!u128::from(v6) as u32).into(),
        _ => address,
    }
}

fn degrees(row: &HashMap<String, String>, prefix: &str) -> Degrees {
    let read = |key: &str| row[&format!("{prefix}{key}")].parse().expect("degrees");
    (read("lat"), read("lon"))
}

/// Rows of a table by the names of its first line; a field may stand in double quotes.
fn csv(path: &Path) -> Vec<HashMap<String, String>> {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines = text.lines().map(fields);
    let names = lines.next().expect("a head line");
    lines.map(|row| names.iter().cloned().zip(row).collect()).collect()
}

fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => fields.last_mut().expect("never empty").push(c),
        }
    }
    fields
}
