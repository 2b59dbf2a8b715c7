//! The map as it is saved: a head, then entries of one length.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::client::Client;
use super::map::{LatencyMap, Reporter, seconds};
use super::rtt::Rtt;
use crate::clock::Tick;

/// The first octets of the file: its name and the version of its form.
const MAGIC: [u8; 8] = *b"mrdlat\0\x01";
/// Octets of an entry.
const ENTRY: usize = 20;
/// Longest file that is ours: the largest map has 34 MiB.
pub const LENGTH_MAX: u64 = 64 << 20;

/// What stands before the entries.
#[derive(Serialize, Deserialize)]
struct Head {
    /// Unix seconds.
    saved_at: u64,
    /// Region and node of each reporter, by number.
    reporters: Vec<(String, String)>,
    ways: Vec<SavedWay>,
}

/// One way.
#[derive(Serialize, Deserialize)]
struct SavedWay {
    from: (String, String),
    to: String,
    estimate: u16,
    samples: u16,
    age_s: u64,
}

impl LatencyMap {
    /// The file that keeps this map, at `unix_now`.
    pub fn save(&self, now: Tick, unix_now: u64) -> Vec<u8> {
        let pair = |reporter: &Reporter| (reporter.region.clone(), reporter.node.clone());
        let reporters: Vec<Reporter> = self.reporters().cloned().collect();
        let ways = self.reporter_ways(now).map(|(from, to, cell, age)| SavedWay {
            from: pair(from),
            to: to.to_owned(),
            estimate: cell.settled().to_bits(),
            samples: cell.samples(),
            age_s: age.as_secs(),
        });
        let head = Head {
            saved_at: unix_now,
            reporters: reporters.iter().map(pair).collect(),
            ways: ways.collect(),
        };
        // Writing to memory fails for types without a length alone.
        let mut file = postcard::to_extend(&head, MAGIC.to_vec()).unwrap_or_default();
        file.reserve(self.len() * ENTRY);
        for (reporter, entry, age) in self.all(now) {
            let [_, _, number @ ..] = entry.client.number().to_be_bytes();
            let cell = entry.cell;
            file.extend(number);
            for part in [reporter, cell.estimate.0, cell.settled.0, cell.spread, cell.parts] {
                file.extend(part.to_be_bytes());
            }
            file.extend(u32::try_from(age.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
        }
        file
    }

    /// The map of this node from a file, without what was not measured for `keep`.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn load(
        me: Reporter,
        seed: u64,
        file: &[u8],
        keep: Duration,
        (now, unix_now): (Tick, u64),
    ) -> Result<Self, String> {
        let Some(body) = file.strip_prefix(&MAGIC) else {
            return Err("its first octets are not those of a latency map of version 1".to_owned());
        };
        let (head, entries) = postcard::take_from_bytes::<Head>(body)
            .map_err(|error| format!("its head cannot be read: {error}"))?;
        if !entries.len().is_multiple_of(ENTRY) {
            return Err("its last entry is cut off".to_owned());
        }
        let mut map = Self::new(me, seed);
        // A clock that was set back makes nothing younger.
        let passed = Duration::from_secs(unix_now.saturating_sub(head.saved_at));
        let reporter = |(region, node): (String, String)| Reporter { region, node };
        for way in head.ways {
            let age = passed.saturating_add(Duration::from_secs(way.age_s));
            let Some(estimate) = Rtt::from_bits(way.estimate) else { continue };
            let cell = Cell::told(estimate, 0, way.samples);
            let seen = Tick(now.0.saturating_sub(age.as_millis() as u64));
            map.restore_way(&reporter(way.from), &way.to, cell, seen);
        }
        let reporters: Vec<Reporter> = head.reporters.into_iter().map(reporter).collect();
        for entry in entries.as_chunks::<ENTRY>().0 {
            let Some((id, client, cell, age_s)) = entry_of(entry) else {
                return Err("an entry is out of bounds".to_owned());
            };
            let from = reporters.get(usize::from(id)).ok_or("an entry names no reporter")?;
            let age = passed + Duration::from_secs(u64::from(age_s));
            if age <= keep {
                let seen = seconds(now).saturating_sub(age.as_secs() as u32);
                map.restore(from, client, cell, seen);
            }
        }
        Ok(map)
    }
}

/// The reporter's number, the client, the estimate and its age; `None`: it is none of ours.
fn entry_of(entry: &[u8; ENTRY]) -> Option<(u16, Client, Cell, u32)> {
    let (number, rest) = entry.split_at(6);
    let number = number.iter().fold(0, |number, octet| number << 8 | u64::from(*octet));
    let client = Client::from_number(number).ok()?;
    let (parts, age) = rest.split_at(10);
    let mut parts = parts.as_chunks::<2>().0.iter().map(|part| u16::from_be_bytes(*part));
    let id = parts.next()?;
    let estimate = Rtt::from_bits(parts.next()?)?;
    let settled = Rtt::from_bits(parts.next()?)?;
    let (spread, parts) = (parts.next()?, parts.next()?);
    let age_s = u32::from_be_bytes(*age.first_chunk()?);
    Some((id, client, Cell::restored(estimate, settled, spread, parts)?, age_s))
}
