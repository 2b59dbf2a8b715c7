//! A page of round trips: what one node measured to its own region, and the ways from there.

use serde::{Deserialize, Serialize};

use super::wire::{self, Dropped, Head, Kind};
use crate::health::Prober;
use crate::latency::{Client, Measured, Rtt, SAMPLES_MAX, Way};

/// Clients on a page.
pub(super) const CLIENTS_MAX: usize = 256;
/// Ways on a page: a name may be as long as 63 octets.
pub(super) const WAYS_MAX: usize = 48;
/// Seconds of an hour, in which ages are told.
const HOUR_S: u64 = 3_600;

/// Round trips that one node has measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whose they are.
    pub writer: Prober,
    /// Grows with each start of the writer.
    pub epoch: u64,
    /// Grows with each change of the page.
    pub seq: u64,
    /// From its region to others; at most 48.
    pub ways: Vec<Way>,
    /// Of clients to its region; at most 256.
    pub measured: Vec<Measured>,
}

/// One way. Its form never changes: what is to be added goes into a list of its own.
#[derive(Serialize, Deserialize)]
struct WayRecord<'a> {
    to: &'a str,
    rtt: u16,
    samples: u8,
}

/// One client. Its form never changes, likewise.
#[derive(Serialize, Deserialize)]
struct ClientRecord {
    /// Its number in 48 bits.
    client: [u8; 6],
    rtt: [u8; 2],
    samples: u8,
    hours: u8,
}

impl Report {
    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        let head = Head::of(&self.writer, self.epoch, self.seq);
        // The region that clients were measured to: the writer's own, or nobody believes it.
        let target = &self.writer.region;
        let way = |way: &Way| (way.to.clone(), way.settled.to_bits(), octet(way.samples));
        let ways: Vec<(String, u16, u8)> = self.ways.iter().map(way).collect();
        let clients: Vec<ClientRecord> = self.measured.iter().map(ClientRecord::of).collect();
        wire::seal(Kind::Latency, &(head, target, ways, clients))
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn decode(message: &[u8]) -> Result<Self, Dropped> {
        let mut body = wire::open(Kind::Latency, message)?;
        let head = Head::take(&mut body)?;
        let target: &str = wire::take(&mut body)?;
        if !wire::is_name(target) {
            return Err(Dropped::Malformed);
        }
        if target != head.region {
            return Err(Dropped::Forged);
        }
        let (writer, epoch, seq) = head.read()?;
        let count = wire::take_length(&mut body, WAYS_MAX)?;
        let mut ways = Vec::with_capacity(count);
        for _ in 0..count {
            ways.push(wire::take::<WayRecord<'_>>(&mut body)?.way()?);
        }
        let count = wire::take_length(&mut body, CLIENTS_MAX)?;
        let mut measured: Vec<Measured> = Vec::with_capacity(count);
        for _ in 0..count {
            let one = wire::take::<ClientRecord>(&mut body)?.measured()?;
            // In order, so that none is there twice.
            if measured.last().is_some_and(|last| last.client >= one.client) {
                return Err(Dropped::Malformed);
            }
            measured.push(one);
        }
        Ok(Self { writer, epoch, seq, ways, measured })
    }
}

impl WayRecord<'_> {
    fn way(&self) -> Result<Way, Dropped> {
        let settled = Rtt::from_bits(self.rtt).ok_or(Dropped::Malformed)?;
        if !wire::is_name(self.to) {
            return Err(Dropped::Malformed);
        }
        Ok(Way { to: self.to.to_owned(), settled, samples: samples(self.samples)? })
    }
}

impl ClientRecord {
    fn of(measured: &Measured) -> Self {
        let [_, _, client @ ..] = measured.client.number().to_be_bytes();
        Self {
            client,
            rtt: measured.settled.to_bits().to_be_bytes(),
            samples: octet(measured.samples),
            hours: u8::try_from(measured.age.as_secs() / HOUR_S).unwrap_or(u8::MAX),
        }
    }

    fn measured(&self) -> Result<Measured, Dropped> {
        let number = self.client.iter().fold(0, |number, octet| number << 8 | u64::from(*octet));
        let client = Client::from_number(number).map_err(|_| Dropped::Malformed)?;
        let settled = Rtt::from_bits(u16::from_be_bytes(self.rtt)).ok_or(Dropped::Malformed)?;
        let age = std::time::Duration::from_secs(u64::from(self.hours) * HOUR_S);
        Ok(Measured { client, settled, samples: samples(self.samples)?, age })
    }
}

fn octet(samples: u16) -> u8 {
    samples.clamp(1, SAMPLES_MAX) as u8
}

/// A number of samples that an estimate can rest on.
fn samples(octet: u8) -> Result<u16, Dropped> {
    let samples = u16::from(octet);
    if (1..=SAMPLES_MAX).contains(&samples) { Ok(samples) } else { Err(Dropped::Malformed) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(ways: usize, clients: u32) -> Report {
        let way = |at: usize| Way {
            to: format!("{at:0>63}"),
            settled: Rtt::from_ms(80.0 + at as f64),
            samples: 64,
        };
        let measured = |at: u32| Measured {
            client: Client::of(format!("24.{}.{}.0/24", at / 256, at % 256).parse().unwrap())
                .unwrap(),
            settled: Rtt::from_ms(20.0),
            samples: 9,
            age: Duration::from_secs(u64::from(at % 200) * HOUR_S),
        };
        Report {
            writer: Prober { region: "eu".into(), node: "fra-1".into() },
            epoch: 1_790_000_000_000,
            seq: 3,
            ways: (0..ways).map(way).collect(),
            measured: (0..clients).map(measured).collect(),
        }
    }

    #[test]
    fn a_page_comes_out_as_it_went_in_and_is_short_enough() {
        for sent in [report(0, 256), report(48, 0), report(3, 4)] {
            let message = sent.encode();
            assert!(message.len() < wire::LENGTH_MAX, "{}", message.len());
            assert_eq!(Report::decode(&message), Ok(sent));
        }
        let mut later = report(1, 1).encode();
        later.extend([9, 9, 9]);
        assert_eq!(Report::decode(&later), Ok(report(1, 1)), "fields to come are ignored");
    }

    #[test]
    fn what_is_out_of_bounds_is_dropped() {
        let good = report(1, 2);
        let mut twice = good.clone();
        twice.measured[1] = twice.measured[0];
        let mut cut = good.encode();
        cut.pop();
        let mut private = good.encode();
        let at = private.len() - 10;
        private[at..at + 6].copy_from_slice(&[0, 0, 0, 0x0a, 0, 0]);
        let mut endless = good.encode();
        let at = endless.len() - 4;
        endless[at..at + 2].copy_from_slice(&[0xff, 0xff]);
        for (what, message) in [
            ("cut short", cut),
            ("a client twice", twice.encode()),
            ("a client too many", report(0, 257).encode()),
            ("a way too many", report(49, 0).encode()),
            ("a private client", private),
            ("a time beyond the scale", endless),
            ("no sequence", Report { seq: 0, ..good.clone() }.encode()),
            ("no epoch", Report { epoch: 0, ..good.clone() }.encode()),
        ] {
            assert_eq!(Report::decode(&message), Err(Dropped::Malformed), "{what}");
        }
        let head = Head::of(&good.writer, 5, 1);
        let none: Vec<u8> = Vec::new();
        let foreign = wire::seal(Kind::Latency, &(head, "us", &none, &none));
        assert_eq!(Report::decode(&foreign), Err(Dropped::Forged), "of another region");
    }
}
