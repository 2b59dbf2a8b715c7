//! A writer of small databases in MaxMind's format, sound ones and others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;

use meridian::geo::Database;
use meridian::prefix::Prefix;

/// A value of a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    /// A string.
    Text(String),
    /// A double, by its bits.
    Double(u64),
    /// An unsigned number of 16 bits.
    U16(u16),
    /// An unsigned number of 32 bits.
    U32(u32),
    /// An unsigned number of 64 bits.
    U64(u64),
    /// An array.
    Array(Vec<Value>),
    /// A map.
    Map(Vec<(&'static str, Value)>),
    /// A pointer to an offset in the data section.
    Pointer(u32),
}

/// A string.
pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A double.
pub(crate) fn double(number: f64) -> Value {
    Value::Double(number.to_bits())
}

/// A map.
pub(crate) fn map<const N: usize>(members: [(&'static str, Value); N]) -> Value {
    Value::Map(members.into())
}

/// What a record of the search tree holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slot {
    /// Nothing is known.
    Empty,
    /// Another node.
    Node(usize),
    /// An offset in the data section.
    Data(usize),
}

/// A database under construction.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    /// 4 or 6.
    pub(crate) ip_version: u16,
    /// 24, 28 or 32 bits.
    pub(crate) record_size: u16,
    /// Seconds since 1970.
    pub(crate) built: u64,
    /// The nodes of the tree; the first is the root.
    pub(crate) nodes: Vec<[Slot; 2]>,
    /// The data section.
    pub(crate) data: Vec<u8>,
    known: HashMap<Value, usize>,
}

impl Writer {
    /// A database without networks.
    pub(crate) fn new(ip_version: u16, record_size: u16) -> Self {
        let nodes = vec![[Slot::Empty; 2]];
        let (data, known) = (Vec::new(), HashMap::new());
        Self { ip_version, record_size, built: 1_700_000_000, nodes, data, known }
    }

    /// Adds a network; it replaces what earlier ones said of its addresses.
    pub(crate) fn add(&mut self, prefix: Prefix, record: &Value) {
        let data = *self.known.entry(record.clone()).or_insert_with(|| {
            let offset = self.data.len();
            encode(record, &mut self.data);
            offset
        });
        let (bits, length) = match (prefix.address(), self.ip_version) {
            (IpAddr::V4(v4), 4) => (u128::from(u32::from(v4)) << 96, prefix.length()),
            (IpAddr::V4(v4), _) => (u128::from(u32::from(v4)), 96 + prefix.length()),
            (IpAddr::V6(v6), _) => (v6.into(), prefix.length()),
        };
        assert!(length > 0, "the whole space has no slot");
        let mut node = 0;
        for depth in 0..length {
            let side = (bits >> (127 - depth) & 1) as usize;
            if depth + 1 == length {
                self.nodes[node][side] = Slot::Data(data);
                break;
            }
            node = match self.nodes[node][side] {
                Slot::Node(next) => next,
                leaf => {
                    self.nodes.push([leaf; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side] = Slot::Node(next);
                    next
                }
            };
        }
    }

    /// The octets of the file.
    pub(crate) fn octets(&self) -> Vec<u8> {
        let count = self.nodes.len();
        let number = |slot: Slot| match slot {
            Slot::Empty => count,
            Slot::Node(node) => node,
            Slot::Data(offset) => count + 16 + offset,
        } as u32;
        let mut octets = Vec::new();
        for [left, right] in &self.nodes {
            let (left, right) = (number(*left).to_be_bytes(), number(*right).to_be_bytes());
            match self.record_size {
                24 => octets.extend([&left[1..], &right[1..]].concat()),
                28 => {
                    octets.extend(&left[1..]);
                    octets.push(left[0] << 4 | right[0] & 0x0f);
                    octets.extend(&right[1..]);
                }
                _ => octets.extend([left, right].concat()),
            }
        }
        octets.extend([0; 16]);
        octets.extend(&self.data);
        octets.extend(b"\xab\xcd\xefMaxMind.com");
        let metadata = map([
            ("binary_format_major_version", Value::U16(2)),
            ("binary_format_minor_version", Value::U16(0)),
            ("build_epoch", Value::U64(self.built)),
            ("database_type", text("Test")),
            ("description", map([])),
            ("ip_version", Value::U16(self.ip_version)),
            ("languages", Value::Array(Vec::new())),
            ("node_count", Value::U32(count as u32)),
            ("record_size", Value::U16(self.record_size)),
        ]);
        encode(&metadata, &mut octets);
        octets
    }

    /// The database, written to a file and opened.
    pub(crate) fn open(&self) -> Database {
        let (_folder, path) = saved(&self.octets());
        Database::open(&path).unwrap()
    }
}

/// Writes a file in a folder of its own, which goes when it is dropped.
pub(crate) fn saved(octets: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.mmdb");
    std::fs::write(&path, octets).unwrap();
    (folder, path)
}

/// Appends a value in the format's binary form.
pub(crate) fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => {
            control(2, text.len(), out);
            out.extend(text.as_bytes());
        }
        Value::Double(bits) => {
            control(3, 8, out);
            out.extend(bits.to_be_bytes());
        }
        Value::U16(number) => {
            control(5, 2, out);
            out.extend(number.to_be_bytes());
        }
        Value::U32(number) => {
            control(6, 4, out);
            out.extend(number.to_be_bytes());
        }
        Value::U64(number) => {
            control(9, 8, out);
            out.extend(number.to_be_bytes());
        }
        Value::Array(values) => {
            control(11, values.len(), out);
            for value in values {
                encode(value, out);
            }
        }
        Value::Map(members) => {
            control(7, members.len(), out);
            for (key, value) in members {
                encode(&text(key), out);
                encode(value, out);
            }
        }
        // The form with a pointer of four octets.
        Value::Pointer(offset) => {
            out.push(0b0011_1000);
            out.extend(offset.to_be_bytes());
        }
    }
}

/// Appends the control octets of a type and size.
fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let (low, extra): (u8, Vec<u8>) = match size {
        0..29 => (size as u8, vec![]),
        29..285 => (29, vec![(size - 29) as u8]),
        285..65_821 => (30, ((size - 285) as u16).to_be_bytes().to_vec()),
        _ => (31, ((size - 65_821) as u32).to_be_bytes()[1..].to_vec()),
    };
    if kind > 7 {
        out.extend([low, kind - 7]);
    } else {
        out.push(kind << 5 | low);
    }
    out.extend(extra);
}
