//! Domain names in wire form (RFC 1035 section 3.1) and their text form (section 5.1).

use std::fmt::{self, Write};

/// Longest domain name in wire form, in octets (RFC 1035 section 2.3.4).
pub const NAME_MAX: usize = 255;
/// Longest label, in octets (RFC 1035 section 2.3.4).
pub const LABEL_MAX: usize = 63;

/// An absolute domain name: uncompressed wire form in lower case, so that equal names (RFC 4343)
/// are equal bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

/// Why a text is no domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing at all.
    Empty,
    /// Two dots in a row, or a dot at the start.
    EmptyLabel,
    /// A label longer than 63 octets.
    LabelTooLong,
    /// More than 255 octets in wire form.
    TooLong,
    /// A backslash followed by neither three digits up to 255 nor a character.
    Escape,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a name is missing",
            Self::EmptyLabel => "a label of the name is empty",
            Self::LabelTooLong => "a label is longer than 63 octets",
            Self::TooLong => "the name is longer than 255 octets",
            Self::Escape => "`\\` must be followed by a character or three digits up to 255",
        })
    }
}

impl std::error::Error for NameError {}

impl Name {
    /// The root.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Reads a name; one without a final dot is below `origin`, and `@` is `origin` itself.
    pub fn parse(text: &str, origin: &Name) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        encode(text.as_bytes(), origin.as_wire(), &mut wire)?;
        wire.make_ascii_lowercase();
        Ok(Self(wire.into()))
    }

    /// Takes an uncompressed name in wire form, in any case.
    pub fn from_wire(wire: &[u8]) -> Option<Self> {
        let mut at = 0;
        loop {
            match wire.get(at)? {
                0 => break,
                length if usize::from(*length) > LABEL_MAX => return None,
                length => at += 1 + usize::from(*length),
            }
        }
        (at + 1 == wire.len() && at < NAME_MAX).then(|| Self(wire.to_ascii_lowercase().into()))
    }

    /// The wire form, with the root's zero octet at the end.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// The labels from the left, without the root's.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        labels(&self.0)
    }

    /// Whether this is `other` or below it.
    pub fn is_at_or_below(&self, other: &Name) -> bool {
        is_at_or_below(&self.0, &other.0)
    }

    /// The name without its leftmost label; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let first = self.0.first().copied().filter(|length| *length > 0)?;
        self.0.get(1 + usize::from(first)..).map(|rest| Self(rest.into()))
    }
}

impl fmt::Display for Name {
    /// Text form with a final dot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decode(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The labels of an uncompressed wire name, from the left, without the root's.
pub fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first()?;
        let (label, tail) = tail.split_at_checked(usize::from(*length))?;
        rest = tail;
        (!label.is_empty()).then_some(label)
    })
}

/// Whether the wire name `name` is `other` or below it; both in the same case.
pub fn is_at_or_below(name: &[u8], other: &[u8]) -> bool {
    let mut rest = name;
    while rest.len() > other.len() {
        let skip = 1 + usize::from(rest.first().copied().unwrap_or(0));
        rest = rest.get(skip..).unwrap_or_default();
    }
    rest == other
}

/// Appends the wire form of a name in text form (RFC 1035 section 5.1: `\DDD`, `\X`) to `wire`,
/// keeping its case. `origin` is the wire form of what relative names are below.
pub fn encode(text: &[u8], origin: &[u8], wire: &mut Vec<u8>) -> Result<(), NameError> {
    let start = wire.len();
    let encoded = encode_at(text, origin, wire, start);
    if encoded.is_err() {
        wire.truncate(start);
    }
    encoded
}

fn encode_at(
    text: &[u8],
    origin: &[u8],
    wire: &mut Vec<u8>,
    start: usize,
) -> Result<(), NameError> {
    match text {
        b"" => return Err(NameError::Empty),
        b"@" => {
            wire.extend_from_slice(origin);
            return Ok(());
        }
        b"." => {
            wire.push(0);
            return Ok(());
        }
        _ => {}
    }
    let mut rest = text;
    let mut absolute = false;
    while !rest.is_empty() {
        let length_at = wire.len();
        wire.push(0);
        absolute = false;
        while let Some((byte, tail)) = rest.split_first() {
            rest = tail;
            match byte {
                b'.' => {
                    absolute = true;
                    break;
                }
                b'\\' => {
                    let (octet, tail) = unescape(rest).ok_or(NameError::Escape)?;
                    wire.push(octet);
                    rest = tail;
                }
                octet => wire.push(*octet),
            }
        }
        let length = wire.len() - length_at - 1;
        match length {
            0 => return Err(NameError::EmptyLabel),
            1..=LABEL_MAX => {}
            _ => return Err(NameError::LabelTooLong),
        }
        if let Some(octet) = wire.get_mut(length_at) {
            *octet = length as u8;
        }
    }
    if absolute {
        wire.push(0);
    } else {
        wire.extend_from_slice(origin);
    }
    if wire.len() - start > NAME_MAX { Err(NameError::TooLong) } else { Ok(()) }
}

/// The octet behind a backslash, and what follows it.
pub fn unescape(rest: &[u8]) -> Option<(u8, &[u8])> {
    match rest {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', tail @ ..] => {
            let value = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
            Some((u8::try_from(value).ok()?, tail))
        }
        [b'0'..=b'9', ..] | [] => None,
        [octet, tail @ ..] => Some((*octet, tail)),
    }
}

/// The text form of an uncompressed wire name, with a final dot and RFC 1035 escapes.
pub fn decode(wire: &[u8]) -> String {
    let mut text = String::with_capacity(wire.len() + 1);
    for label in labels(wire) {
        for octet in label {
            match octet {
                b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                    text.push('\\');
                    text.push(char::from(*octet));
                }
                0x21..=0x7e => text.push(char::from(*octet)),
                _ => {
                    let _ = write!(text, "\\{octet:03}"); // Writing to a `String` cannot fail.
                }
            }
        }
        text.push('.');
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_relative_absolute_and_escaped_names() {
        let origin = Name::parse("example.com.", &Name::root()).unwrap();
        for (text, expected) in [
            ("www", Ok("www.example.com.")),
            ("WWW.Example.ORG.", Ok("www.example.org.")),
            ("@", Ok("example.com.")),
            (".", Ok(".")),
            ("a\\.b", Ok("a\\.b.example.com.")),
            ("a\\046b", Ok("a\\.b.example.com.")),
            ("\\255.", Ok("\\255.")),
            ("", Err(NameError::Empty)),
            ("a..b", Err(NameError::EmptyLabel)),
            (".a", Err(NameError::EmptyLabel)),
            ("a\\256", Err(NameError::Escape)),
            ("a\\1", Err(NameError::Escape)),
            ("a\\", Err(NameError::Escape)),
        ] {
            let read = Name::parse(text, &origin).map(|name| name.to_string());
            assert_eq!(read, expected.map(str::to_owned), "{text}");
        }
        let label = "x".repeat(64);
        assert_eq!(Name::parse(&label, &origin), Err(NameError::LabelTooLong));
        let long = ["x".repeat(63).as_str(); 4].join(".");
        assert_eq!(Name::parse(&long, &Name::root()), Err(NameError::TooLong));
    }

    #[test]
    fn knows_what_is_below_what() {
        let name = |text| Name::parse(text, &Name::root()).unwrap();
        assert!(name("a.example.com").is_at_or_below(&name("example.com")));
        assert!(name("example.com").is_at_or_below(&name("example.com")));
        assert!(name("example.com").is_at_or_below(&Name::root()));
        assert!(!name("badexample.com").is_at_or_below(&name("example.com")));
        assert!(!name("com").is_at_or_below(&name("example.com")));
        assert_eq!(name("a.example.com").parent(), Some(name("example.com")));
        assert_eq!(Name::root().parent(), None);
    }

    #[test]
    fn takes_only_whole_uncompressed_wire_names() {
        assert!(Name::from_wire(b"\x03WWW\x00").is_some_and(|n| n.to_string() == "www."));
        assert_eq!(Name::from_wire(b"\x03www"), None);
        assert_eq!(Name::from_wire(b"\x03www\x00\x00"), None);
        assert_eq!(Name::from_wire(b"\xc0\x0c"), None);
    }
}
