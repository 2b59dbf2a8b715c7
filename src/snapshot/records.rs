//! Address records of one outcome, ready to be copied into an answer.

use std::net::IpAddr;

use super::answers::SteeredKind;
use crate::steering::{Contenders, PICKS_MAX, Pick};

/// Owner, type, class, TTL and RDATA length of a record.
const RECORD_FIXED: usize = 12;

/// Address records in wire form, all of one size, with the owner 0xC00C.
#[derive(Debug)]
pub(super) struct RecordSet {
    pub(super) contenders: Contenders,
    pub(super) pick: Pick,
    pub(super) want: usize,
    pub(super) wire: Vec<u8>,
    /// Octets of each record.
    pub(super) size: usize,
    /// Region of each record, as `RegionId`; `u16::MAX`: none.
    pub(super) regions: Vec<u16>,
}

/// Appends an A or AAAA record with the owner 0xC00C (RFC 1035 section 4.1.3).
pub(super) fn encode(address: IpAddr, ttl: u32, wire: &mut Vec<u8>) {
    let (rtype, octets): (u8, &[u8]) = match &address {
        IpAddr::V4(v4) => (1, &v4.octets()),
        IpAddr::V6(v6) => (28, &v6.octets()),
    };
    wire.extend_from_slice(&[0xc0, 12, 0, rtype, 0, 1]);
    wire.extend_from_slice(&ttl.to_be_bytes());
    wire.extend_from_slice(&(octets.len() as u16).to_be_bytes());
    wire.extend_from_slice(octets);
}

impl RecordSet {
    /// The addresses that may be picked, as RDATA.
    pub(super) fn all(&self) -> Vec<&[u8]> {
        let records = self.wire.chunks(self.size.max(1)).enumerate();
        let picked = records.filter(|(index, _)| self.contenders.may_be_picked(*index, self.pick));
        picked.filter_map(|(_, record)| record.get(12..)).take(PICKS_MAX).collect()
    }

    /// The addresses of the records picked for a client, in the order of its answer.
    pub(super) fn addresses(&self, client: IpAddr, random: u64) -> impl Iterator<Item = &[u8]> {
        let chosen = self.pick.choose(&self.contenders, client, random, self.want);
        let records = (0..chosen.len()).filter_map(move |at| chosen.at(at));
        records.filter_map(|at| self.wire.get(at * self.size + RECORD_FIXED..(at + 1) * self.size))
    }

    /// The region of the first record picked for a client.
    pub(super) fn first_region(&self, client: IpAddr, random: u64) -> Option<u16> {
        let chosen = self.pick.choose(&self.contenders, client, random, self.want);
        chosen.at(0).and_then(|at| self.regions.get(at)).copied()
    }

    pub(super) fn write(
        &self,
        client: IpAddr,
        random: u64,
        owner: u16,
        out: &mut [u8],
    ) -> (SteeredKind<'_>, Option<u16>) {
        let chosen = self.pick.choose(&self.contenders, client, random, self.want);
        let mut length = 0;
        for index in chosen.iter() {
            let record = self.wire.get(index * self.size..(index + 1) * self.size);
            let space = out.get_mut(length..length + self.size);
            let (Some(record), Some(space)) = (record, space) else {
                return (SteeredKind::NoSpace, None);
            };
            space.copy_from_slice(record);
            if let Some(pointer) = space.first_chunk_mut::<2>() {
                *pointer = owner.to_be_bytes();
            }
            length += self.size;
        }
        let region = chosen.iter().next().and_then(|index| self.regions.get(index)).copied();
        (SteeredKind::Records { count: chosen.len() as u16, length }, region)
    }
}
