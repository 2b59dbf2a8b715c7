//! A zone as it was fetched, in the form that survives a restart.
//!
//! The file holds a mark, the records one after the other in wire form without compression, and a
//! digest of all before it. Its time of modification is when the primary was last heard of.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use super::records::{Record, Records};
use crate::durable;

/// What the file begins with; the number is the form.
const MARK: &[u8] = b"meridian zone 1\n";
/// Longest file that is read, and most octets that are fetched of a zone.
pub const OCTETS_MAX: u64 = 1 << 30;
/// Octets between owner and RDATA: type, TTL and length.
const FIXED: usize = 8;

/// Reads a zone and when its primary was last heard of, in seconds since 1970-01-01 UTC; `None`:
/// there is no such file.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub fn read(path: &Path) -> io::Result<Option<(Records, u64)>> {
    let Some(content) = durable::read(path, OCTETS_MAX)? else { return Ok(None) };
    let modified = std::fs::metadata(path)?.modified()?;
    let heard = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let records = decode(&content).ok_or_else(|| io::Error::other("the file is damaged"))?;
    Ok(Some((records, heard)))
}

/// Replaces the file; blocks on the disk.
///
/// # Errors
/// When the disk does not take it; the old file is then still there.
pub fn write(path: &Path, records: &Records) -> io::Result<()> {
    durable::replace(path, &encode(records))
}

/// Notes that the primary was heard of at a time.
///
/// # Errors
/// When there is no such file, or it cannot be changed.
pub fn touch(path: &Path, unix_seconds: u64) -> io::Result<()> {
    let time = UNIX_EPOCH + Duration::from_secs(unix_seconds);
    File::options().append(true).open(path)?.set_modified(time)
}

/// The content of the file.
pub fn encode(records: &Records) -> Vec<u8> {
    let mut content = MARK.to_vec();
    for record in records.iter() {
        content.extend_from_slice(record.owner);
        content.extend_from_slice(&record.rtype.to_be_bytes());
        content.extend_from_slice(&record.ttl.to_be_bytes());
        content.extend_from_slice(&(record.rdata.len() as u16).to_be_bytes());
        content.extend_from_slice(record.rdata);
    }
    let sum = digest(&SHA256, &content);
    content.extend_from_slice(sum.as_ref());
    content
}

/// The records in the content of a file; `None`: it is damaged.
pub fn decode(content: &[u8]) -> Option<Records> {
    let (content, sum) = content.split_at_checked(content.len().checked_sub(SHA256_OUTPUT_LEN)?)?;
    if digest(&SHA256, content).as_ref() != sum {
        return None;
    }
    let mut rest = content.strip_prefix(MARK)?;
    let mut records = Records::default();
    while !rest.is_empty() {
        let mut end = 0;
        while *rest.get(end)? != 0 {
            end += 1 + usize::from(*rest.get(end)?);
        }
        let (owner, tail) = rest.split_at_checked(end + 1)?;
        let (fixed, tail) = tail.split_first_chunk::<FIXED>()?;
        let [t0, t1, l0, l1, l2, l3, d0, d1] = *fixed;
        let (rdata, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes([d0, d1])))?;
        rest = tail;
        let (rtype, ttl) = (u16::from_be_bytes([t0, t1]), u32::from_be_bytes([l0, l1, l2, l3]));
        if !records.push(Record { owner, rtype, ttl, rdata, file: 0, line: 0 }) {
            return None;
        }
    }
    records.sort();
    Some(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Records {
        let mut records = Records::default();
        for (owner, rtype) in [(&b"\x01a\x00"[..], 1), (b"\x01b\x00", 16), (b"\x01b\x00", 28)] {
            let pushed =
                records.push(Record { owner, rtype, ttl: 60, rdata: b"x", file: 0, line: 0 });
            assert!(pushed);
        }
        records
    }

    #[test]
    fn a_zone_comes_back_as_it_was_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zones/a.zone");
        assert!(read(&path).unwrap().is_none());
        write(&path, &records()).unwrap();
        touch(&path, 1_000_000_000).unwrap();
        assert_eq!(read(&path).unwrap(), Some((records(), 1_000_000_000)));
    }

    #[test]
    fn a_damaged_file_is_no_zone() {
        let content = encode(&records());
        assert_eq!(decode(&content), Some(records()));
        for length in 0..content.len() {
            assert_eq!(decode(&content[..length]), None, "{length} octets");
        }
        for at in 0..content.len() {
            let mut changed = content.clone();
            changed[at] ^= 1;
            assert_eq!(decode(&changed), None, "octet {at}");
        }
    }
}
