//! Geo databases in MaxMind's file format (mmdb), verified when opened.

use std::fs::{self, File};
use std::io::Read;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use ipnetwork::IpNetwork;
use maxminddb::{LookupResult, MaxMindDbError, Reader, WithinOptions};

use super::address::{Address, Kind, looked_up};
use super::error::GeoError;
use super::ranges::Ranges;
use super::record::Record;
use crate::place::{Place, gazetteer};

/// The database that is used when none is configured: countries by registry data.
const EMBEDDED: &[u8] = include_bytes!("../../geoip/country.mmdb");

/// Largest file that is read; the largest city databases have a tenth of it.
const FILE_OCTETS_MAX: u64 = 2 << 30;

/// Networks a sound tree can have for each of its nodes is 1; aliases of the IPv4 tree add some.
const NETWORKS_PER_NODE_MAX: u64 = 3;

/// Networks allowed beyond that, so that tiny trees pass.
const NETWORKS_EXTRA: u64 = 4096;

/// Values that may be decoded for each octet of the file: records that overlap, which no sound
/// file has, cost more. City databases with eight languages need 0.4.
const VALUES_PER_OCTET_MAX: u64 = 8;

/// Values allowed beyond that, so that small files that share much pass.
const VALUES_EXTRA: u64 = 1 << 20;

const TOO_MANY_VALUES: &str = "its records hold more values than its size allows";

/// Most cores that decode records; more would help little, and others want some.
const CORES_MAX: usize = 4;

/// Fewest records that are worth a thread.
const PART_MIN: usize = 4096;

/// A network of the tree, and where its record is.
type Found<'r> = LookupResult<'r, Image>;

/// One database.
#[derive(Debug)]
pub struct Database {
    file: String,
    reader: Reader<Image>,
    survey: Survey,
}

/// What the one walk over a database found.
///
/// Memory: 40 octets a distinct record, 8 a run of IPv4 networks with the same, 20 for IPv6.
#[derive(Debug)]
pub(super) struct Survey {
    /// What the distinct records say; the first is for networks without a record.
    pub(super) places: Vec<Place>,
    /// Indexes into `places`. Blocks that are not looked up in IPv6 have no record.
    pub(super) v4: Ranges<u32>,
    /// As `v4`.
    pub(super) v6: Ranges<u128>,
}

impl Database {
    /// Reads and verifies a file: the whole tree, and every record the tree refers to.
    pub fn open(path: &Path) -> Result<Self, GeoError> {
        let file = path.display().to_string();
        match read(path) {
            Ok(octets) => Self::new(file, Image::Read(octets)),
            Err(reason) => Err(GeoError::Read { file, reason }),
        }
    }

    /// The compiled-in country database.
    pub fn embedded() -> Result<Self, GeoError> {
        Self::new("embedded country database".to_owned(), Image::Embedded(EMBEDDED))
    }

    /// Verifies a file in memory.
    fn new(file: String, image: Image) -> Result<Self, GeoError> {
        let octets = image.as_ref().len() as u64;
        let verified = Reader::from_source(image)
            .map_err(|error| reason(&error))
            .and_then(|reader| Ok((Survey::of(&reader, octets)?, reader)));
        match verified {
            Ok((survey, reader)) => Ok(Self { file, reader, survey }),
            Err(reason) => Err(GeoError::Invalid { file, reason }),
        }
    }

    /// The path as written in the configuration.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What the database calls itself, such as `GeoLite2-City`.
    pub fn kind(&self) -> &str {
        &self.reader.metadata().database_type
    }

    /// When it was built, in seconds since 1970-01-01 UTC.
    pub fn built(&self) -> u64 {
        self.reader.metadata().build_epoch
    }

    /// Time since it was built, at `now` in seconds since 1970-01-01 UTC.
    pub fn age(&self, now: u64) -> Duration {
        Duration::from_secs(now.saturating_sub(self.built()))
    }

    /// What it holds.
    pub(super) fn survey(&self) -> &Survey {
        &self.survey
    }

    /// What this database alone says of an address.
    fn place(&self, address: IpAddr) -> Option<Place> {
        let record = self.reader.lookup(address).ok()?.decode::<Record>().ok()??;
        Some(record.place)
    }
}

impl Survey {
    /// Walks the tree and decodes every record it refers to, within bounds.
    fn of(reader: &Reader<Image>, octets: u64) -> Result<Self, String> {
        let mut walk = Walk {
            networks_left: NETWORKS_PER_NODE_MAX * u64::from(reader.metadata().node_count)
                + NETWORKS_EXTRA,
            indexes: HashMap::new(),
            records: Vec::new(),
        };
        let (mut v4, mut v6) = (Ranges::whole(0), Ranges::whole(0));
        leaves(reader, |first, found| walk.index(found).map(|index| v4.push(first, index)))?;
        leaves(reader, |first, found| walk.index(found).map(|index| v6.push(first, index)))?;
        let places = decoded(&walk.records, VALUES_PER_OCTET_MAX * octets + VALUES_EXTRA)?;
        Ok(Self { places, v4, v6 })
    }
}

/// The bound of a walk and what it has found so far.
struct Walk<'r> {
    networks_left: u64,
    /// Index of a record by its offset in the file; 0 is for networks without one.
    indexes: HashMap<usize, u32>,
    /// The distinct records, from index 1 on.
    records: Vec<Found<'r>>,
}

impl<'r> Walk<'r> {
    /// The index of the record of a network.
    fn index(&mut self, found: Option<Found<'r>>) -> Result<u32, String> {
        self.networks_left = self
            .networks_left
            .checked_sub(1)
            .ok_or("its tree holds more networks than its number of nodes allows")?;
        let Some(found) = found else { return Ok(0) };
        let Some(offset) = found.offset() else { return Ok(0) };
        Ok(*self.indexes.entry(offset).or_insert_with(|| {
            self.records.push(found);
            self.records.len() as u32
        }))
    }
}

/// What the records say, behind a place for networks without a record. They are decoded on several
/// cores, since that is most of the time that a city database takes.
fn decoded(records: &[Found<'_>], values_max: u64) -> Result<Vec<Place>, String> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(CORES_MAX);
    let part = records.len().div_ceil(cores).max(PART_MIN);
    let parts: Vec<Result<Part, String>> = thread::scope(|scope| {
        let start = |records| {
            let decode = move || Part::decode(records, values_max);
            thread::Builder::new().spawn_scoped(scope, decode).map_err(|_| records)
        };
        // The last part is done here.
        let last = records.len().saturating_sub(1) / part * part;
        let (others, own) = records.split_at(last);
        let started: Vec<_> = others.chunks(part).map(start).collect();
        let own = Part::decode(own, values_max);
        let finish = |started| match started {
            Ok(thread) => {
                ScopedJoinHandle::join(thread).unwrap_or_else(|panic| resume_unwind(panic))
            }
            // No thread was to be had.
            Err(records) => Part::decode(records, values_max),
        };
        started.into_iter().map(finish).chain([own]).collect()
    });
    let mut places = Vec::with_capacity(records.len() + 1);
    places.push(Place::default());
    let mut values_left = values_max;
    for part in parts {
        let part = part?;
        values_left = values_left.checked_sub(part.values).ok_or(TOO_MANY_VALUES)?;
        places.extend(part.places);
    }
    Ok(places)
}

/// Some of the records, decoded.
struct Part {
    places: Vec<Place>,
    values: u64,
}

impl Part {
    fn decode(records: &[Found<'_>], values_max: u64) -> Result<Self, String> {
        let mut part = Self { places: Vec::with_capacity(records.len()), values: 0 };
        for found in records {
            let record: Option<Record> = found.decode().map_err(|error| reason(&error))?;
            let Record { place, cost } = record.unwrap_or_default();
            part.values += cost;
            if part.values > values_max {
                return Err(TOO_MANY_VALUES.to_owned());
            }
            part.places.push(place);
        }
        Ok(part)
    }
}

/// Calls `each` for every network of a family, in ascending order and without gaps.
///
/// The library walks aliases and empty networks silently when not asked to show them, and a
/// hostile tree can have 2^96 of those; shown, `each` can count them and stop.
fn leaves<'r, A: Address>(
    reader: &'r Reader<Image>,
    mut each: impl FnMut(A, Option<Found<'r>>) -> Result<(), String>,
) -> Result<(), String> {
    let options =
        WithinOptions::default().include_aliased_networks().include_networks_without_data();
    for block in A::blocks() {
        let covered = block.kind == Kind::Native && reader.metadata().ip_version >= family::<A>();
        if !covered {
            each(block.first, None)?;
            continue;
        }
        let within = IpNetwork::new(block.first.ip(), block.length)
            .map_err(MaxMindDbError::from)
            .and_then(|block| reader.within(block, options))
            .map_err(|error| reason(&error))?;
        for found in within {
            let found = found.map_err(|error| reason(&error))?;
            let network = found.network().map_err(|error| reason(&error))?;
            // A network wider than the block, perhaps even of IPv6 around the IPv4 space.
            let first = A::of(network.network()).unwrap_or(block.first).max(block.first);
            each(first, Some(found))?;
        }
    }
    Ok(())
}

/// The least `ip_version` of a tree that has addresses of this family.
fn family<A: Address>() -> u16 {
    if A::WIDTH == 32 { 4 } else { 6 }
}

/// The databases of a configuration, in order of precedence.
#[derive(Debug)]
pub struct Databases {
    all: Vec<Database>,
}

impl Databases {
    /// Opens all files, or reports all that cannot be used; no paths: the embedded database.
    pub fn load(paths: &[PathBuf]) -> Result<Self, Vec<GeoError>> {
        let opened: Vec<_> = if paths.is_empty() {
            vec![Database::embedded()]
        } else {
            paths.iter().map(|path| Database::open(path)).collect()
        };
        let (mut all, mut errors) = (Vec::new(), Vec::new());
        for result in opened {
            match result {
                Ok(database) => all.push(database),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self { all }) } else { Err(errors) }
    }

    /// One database from the octets of its file, which `name` stands for in messages.
    pub fn from_octets(name: &str, octets: Vec<u8>) -> Result<Self, GeoError> {
        Ok(Self { all: vec![Database::new(name.to_owned(), Image::Read(octets))?] })
    }

    /// The databases, first answer first.
    pub fn all(&self) -> &[Database] {
        &self.all
    }

    /// Where `client` is, by straight look-ups: each part from the first database that has it.
    ///
    /// The hot path uses a [`PrefixTable`](super::PrefixTable) instead, which agrees with this.
    pub fn place(&self, client: IpAddr) -> Place {
        let Some(address) = looked_up(client) else { return Place::default() };
        let places = self.all.iter().filter_map(|database| database.place(address));
        completed(places.fold(Place::default(), first_of))
    }
}

/// Each part of a place from `upper`, or from `lower` where it is missing.
pub(super) fn first_of(upper: Place, lower: Place) -> Place {
    Place {
        country: upper.country.or(lower.country),
        continent: upper.continent.or(lower.continent),
        point: upper.point.or(lower.point),
        asn: upper.asn.or(lower.asn),
    }
}

/// Fills continent and point from the country where no database has them.
pub(super) fn completed(place: Place) -> Place {
    let country = place.country.and_then(gazetteer::country);
    Place {
        continent: place.continent.or(country.map(|country| country.continent)),
        point: place.point.or(country.map(|country| country.point)),
        ..place
    }
}

/// The octets of a database file.
#[derive(Debug)]
enum Image {
    Embedded(&'static [u8]),
    Read(Vec<u8>),
}

impl AsRef<[u8]> for Image {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Embedded(octets) => octets,
            Self::Read(octets) => octets,
        }
    }
}

/// Reads a regular file of bounded size; pipes and devices could block or never end.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let about = fs::metadata(path).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("expected a regular file".to_owned());
    }
    if about.len() > FILE_OCTETS_MAX {
        return Err(format!("its {} octets exceed {FILE_OCTETS_MAX}", about.len()));
    }
    let mut octets = Vec::with_capacity(about.len() as usize);
    // It may grow while it is read.
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(FILE_OCTETS_MAX).read_to_end(&mut octets).map_err(|error| error.to_string())?;
    Ok(octets)
}

/// The library's message in the form of ours.
fn reason(error: &MaxMindDbError) -> String {
    error.to_string().trim_end_matches('.').to_owned()
}
