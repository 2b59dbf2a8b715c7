//! The fields of RDATA from the words of a record.

use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::str::FromStr;

use data_encoding::{BASE32HEX_NOPAD, BASE64, HEXLOWER_PERMISSIVE};

use super::forms::{self, Field};
use super::{location, params, time};
use crate::name;
use crate::zone::mistake::{Mistake, quote};
use crate::zone::token::{Form, Word};
use crate::zone::ttl;

/// Longest character-string, in octets (RFC 1035 section 3.3).
const TEXT_MAX: usize = 255;

/// Mnemonics of DNSSEC algorithms (RFC 4034 appendix A.1 and the registry it opens).
const ALGORITHMS: &[(&str, u64)] = &[
    ("RSAMD5", 1),
    ("DH", 2),
    ("DSA", 3),
    ("RSASHA1", 5),
    ("DSA-NSEC3-SHA1", 6),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECC-GOST", 12),
    ("ECDSAP256SHA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
    ("INDIRECT", 252),
    ("PRIVATEDNS", 253),
    ("PRIVATEOID", 254),
];

/// Mnemonics of certificate types (RFC 4398 section 2.1).
const CERT_TYPES: &[(&str, u64)] = &[
    ("PKIX", 1),
    ("SPKI", 2),
    ("PGP", 3),
    ("IPKIX", 4),
    ("ISPKI", 5),
    ("IPGP", 6),
    ("ACPKIX", 7),
    ("IACPKIX", 8),
    ("URI", 253),
    ("OID", 254),
];

/// The words of one record's RDATA, read from left to right.
#[derive(Debug)]
pub(in crate::zone) struct Fields<'w, 'a> {
    words: &'w [Word<'a>],
    next: usize,
    /// The octets of the word before the RDATA, to point behind it where RDATA is missing.
    before: Range<usize>,
    /// What relative names are below, in wire form.
    origin: &'w [u8],
    /// What is allowed, but probably not meant.
    pub doubts: Vec<Mistake>,
}

impl<'w, 'a> Fields<'w, 'a> {
    /// The fields in `words`.
    pub(in crate::zone) fn new(
        words: &'w [Word<'a>],
        before: Range<usize>,
        origin: &'w [u8],
    ) -> Self {
        Self { words, next: 0, before, origin, doubts: Vec::new() }
    }

    /// The next word.
    pub(super) fn peek(&self) -> Option<Word<'a>> {
        self.words.get(self.next).copied()
    }

    /// Where the next word is missing: behind the one before.
    pub(super) fn end(&self) -> Range<usize> {
        let last = self.next.checked_sub(1).and_then(|last| self.words.get(last));
        let end = last.map_or(self.before.end, |word| word.range().end);
        end..end
    }

    /// The last word.
    pub(super) fn last(&self) -> Range<usize> {
        self.words.last().map_or(self.end(), Word::range)
    }

    /// From the first word to the last.
    pub(super) fn whole(&self) -> Range<usize> {
        match (self.words.first(), self.words.last()) {
            (Some(first), Some(last)) => first.range().start..last.range().end,
            _ => self.end(),
        }
    }

    /// The next word, whatever its quotes.
    pub(super) fn take(&mut self, what: &str) -> Result<Word<'a>, Mistake> {
        let word = self
            .peek()
            .ok_or_else(|| Mistake::new(self.end(), format!("the {what} is missing")))?;
        self.next += 1;
        Ok(word)
    }

    /// The next word, which must not be quoted.
    pub(super) fn plain(&mut self, what: &str) -> Result<Word<'a>, Mistake> {
        let word = self.take(what)?;
        if word.form == Form::Plain {
            return Ok(word);
        }
        Err(Mistake::new(word.range(), format!("the {what} is quoted"))
            .hint("only character-strings stand in quotes"))
    }

    /// Appends one field to `out`.
    pub(super) fn encode(
        &mut self,
        field: Field,
        what: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), Mistake> {
        match field {
            Field::Name | Field::CasedName => {
                let word = self.take(what)?;
                let doubt = name(&word, self.origin, out)?;
                self.doubts.extend(doubt);
            }
            Field::U8 => out.push(self.number(what, 0xff)? as u8),
            Field::U16 => out.extend((self.number(what, 0xffff)? as u16).to_be_bytes()),
            Field::U32 => out.extend((self.number(what, 0xffff_ffff)? as u32).to_be_bytes()),
            Field::Seconds => {
                let word = self.plain(what)?;
                let seconds = ttl::parse(word.text).map_err(|e| bad(&word, what, e.message()))?;
                out.extend(seconds.to_be_bytes());
            }
            Field::Time => {
                let word = self.plain(what)?;
                let time = time::parse(word.text)
                    .ok_or_else(|| bad(&word, what, "expected YYYYMMDDHHmmSS or seconds"))?;
                out.extend(time.to_be_bytes());
            }
            Field::Ip4 => out.extend(self.address::<Ipv4Addr>(what)?.octets()),
            Field::Ip6 => out.extend(self.address::<Ipv6Addr>(what)?.octets()),
            Field::Text => self.text(what, out)?,
            Field::Texts => {
                self.text(what, out)?;
                while self.peek().is_some() {
                    self.text(what, out)?;
                }
            }
            Field::Tag => self.tag(what, out)?,
            Field::Octets => unescape(&self.take(what)?, out)?,
            Field::Hex => self.some_hex(what, out)?,
            Field::Base64 => self.base64(what, out)?,
            Field::Salt => self.salt(what, out)?,
            Field::Hash => self.hash(what, out)?,
            Field::Type => {
                let word = self.plain(what)?;
                out.extend(type_word(&word)?.to_be_bytes());
            }
            Field::Types => self.types(what, out)?,
            Field::Algorithm => out.push(self.mnemonic(what, ALGORITHMS, 0xff)? as u8),
            Field::CertType => {
                out.extend((self.mnemonic(what, CERT_TYPES, 0xffff)? as u16).to_be_bytes());
            }
            Field::Eui(octets) => self.groups(what, usize::from(octets), 2, b'-', out)?,
            Field::Locator => self.groups(what, 4, 4, b':', out)?,
            Field::Location => location::encode(self, out)?,
            Field::Params => params::encode(self, out)?,
            Field::Opaque => {
                let range = self.peek().map_or(self.end(), |word| word.range());
                return Err(Mistake::new(range, "the RDATA of this type has no text form here")
                    .hint("write it as `\\# LENGTH HEX` (RFC 3597)"));
            }
        }
        Ok(())
    }

    fn number(&mut self, what: &str, max: u64) -> Result<u64, Mistake> {
        let word = self.plain(what)?;
        number(word.text, max)
            .ok_or_else(|| bad(&word, what, format_args!("expected a number up to {max}")))
    }

    fn mnemonic(&mut self, what: &str, known: &[(&str, u64)], max: u64) -> Result<u64, Mistake> {
        let word = self.plain(what)?;
        let found = known.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word.text));
        found.map(|(_, value)| *value).or_else(|| number(word.text, max)).ok_or_else(|| {
            bad(&word, what, format_args!("expected a mnemonic or a number up to {max}"))
        })
    }

    fn address<A: Address>(&mut self, what: &str) -> Result<A, Mistake> {
        let word = self.plain(what)?;
        if let Some(address) = parse_str(word.text) {
            return Ok(address);
        }
        let mistake = bad(&word, what, A::EXPECTED);
        let other = parse_str::<A::Other>(word.text).is_some();
        Err(if other { mistake.hint(A::OTHER_HINT) } else { mistake })
    }

    /// One character-string with its length octet.
    fn text(&mut self, what: &str, out: &mut Vec<u8>) -> Result<(), Mistake> {
        let word = self.take(what)?;
        let start = out.len();
        out.push(0);
        unescape(&word, out)?;
        let length = out.len() - start - 1;
        if length > TEXT_MAX {
            let what = format!("the string has {length} octets: at most {TEXT_MAX}");
            return Err(
                Mistake::new(word.range(), what).hint("split it into several quoted strings")
            );
        }
        if let Some(octet) = out.get_mut(start) {
            *octet = length as u8;
        }
        Ok(())
    }

    /// A CAA tag (RFC 8659 section 4.1).
    fn tag(&mut self, what: &str, out: &mut Vec<u8>) -> Result<(), Mistake> {
        let word = self.plain(what)?;
        let right = word.text.iter().all(u8::is_ascii_alphanumeric) && word.text.len() <= TEXT_MAX;
        if !right {
            return Err(bad(&word, what, "expected letters and digits, such as `issue`"));
        }
        out.push(word.text.len() as u8);
        out.extend_from_slice(word.text);
        Ok(())
    }

    /// Hexadecimal digits to the end, possibly none.
    pub(super) fn hex(&mut self, what: &str, out: &mut Vec<u8>) -> Result<(), Mistake> {
        let is_digit = |byte: &u8| byte.is_ascii_hexdigit();
        let (digits, last) = self.joined(what, is_digit, "expected hexadecimal digits")?;
        let octets = HEXLOWER_PERMISSIVE.decode(&digits).map_err(|_| {
            let what = format!("the {what} has an odd number of hexadecimal digits");
            Mistake::new(last, what)
        })?;
        out.extend(octets);
        Ok(())
    }

    fn some_hex(&mut self, what: &str, out: &mut Vec<u8>) -> Result<(), Mistake> {
        if self.peek().is_none() {
            return Err(Mistake::new(self.end(), format!("the {what} is missing")));
        }
        self.hex(what, out)
    }

    fn base64(&mut self, what: &str, out: &mut Vec<u8>) -> Result<(), Mistake> {
        if self.peek().is_none() {
            return Err(Mistake::new(self.end(), format!("the {what} is missing")));
        }
        let is_symbol = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
        let (symbols, last) = self.joined(what, is_symbol, "expected base64")?;
        let octets = BASE64.decode(&symbols).map_err(|_| {
            Mistake::new(last, format!("the {what} is no whole base64"))
                .hint("groups of four symbols, the last filled up with `=`")
        })?;
        out.extend(octets);
        Ok(())
    }

    /// The remaining words as one, and the octets of the last.
    fn joined(
        &mut self,
        what: &str,
        allowed: impl Fn(&u8) -> bool,
        expected: &str,
    ) -> Result<(Vec<u8>, Range<usize>), Mistake> {
        let (mut joined, mut last) = (Vec::new(), self.end());
        while self.peek().is_some() {
            let word = self.plain(what)?;
            if !word.text.iter().all(&allowed) {
                return Err(bad(&word, what, expected));
            }
            joined.extend_from_slice(word.text);
            last = word.range();
        }
        Ok((joined, last))
    }

    fn salt(&mut self, what: &str, out: &mut Vec<u8>) -> Result<(), Mistake> {
        let word = self.plain(what)?;
        let digits: &[u8] = if word.text == b"-" { b"" } else { word.text };
        let salt = HEXLOWER_PERMISSIVE.decode(digits).ok().filter(|salt| salt.len() <= TEXT_MAX);
        let salt = salt.ok_or_else(|| bad(&word, what, "expected hexadecimal digits or `-`"))?;
        out.push(salt.len() as u8);
        out.extend(salt);
        Ok(())
    }

    fn hash(&mut self, what: &str, out: &mut Vec<u8>) -> Result<(), Mistake> {
        let word = self.plain(what)?;
        let hash = BASE32HEX_NOPAD.decode(&word.text.to_ascii_uppercase()).ok();
        let hash = hash.filter(|hash| (1..=TEXT_MAX).contains(&hash.len()));
        let hash =
            hash.ok_or_else(|| bad(&word, what, "expected base32 with digits and a to v"))?;
        out.push(hash.len() as u8);
        out.extend(hash);
        Ok(())
    }

    /// The remaining words as a type bitmap (RFC 4034 section 4.1.2); none at all is allowed
    /// (RFC 5155 section 7.1, empty non-terminals).
    fn types(&mut self, what: &str, out: &mut Vec<u8>) -> Result<(), Mistake> {
        let mut types = Vec::new();
        while self.peek().is_some() {
            types.push(type_word(&self.plain(what)?)?);
        }
        types.sort_unstable();
        for window in types.chunk_by(|a, b| a >> 8 == b >> 8) {
            let mut bits = [0u8; 32];
            let mut used = 0;
            for rtype in window {
                let [_, low] = rtype.to_be_bytes();
                let octet = usize::from(low >> 3);
                if let Some(bits) = bits.get_mut(octet) {
                    *bits |= 0x80 >> (low & 7);
                }
                used = octet + 1;
            }
            out.extend(window.first().map(|rtype| (rtype >> 8) as u8));
            out.push(used as u8);
            out.extend_from_slice(bits.get(..used).unwrap_or_default());
        }
        Ok(())
    }

    /// One word of `count` groups of hexadecimal digits, each of `width` digits or, for groups of
    /// four, fewer.
    fn groups(
        &mut self,
        what: &str,
        count: usize,
        width: usize,
        separator: u8,
        out: &mut Vec<u8>,
    ) -> Result<(), Mistake> {
        let word = self.plain(what)?;
        let between = char::from(separator);
        let wrong = || {
            let expected = format!(
                "expected {count} groups of {width} hexadecimal digits with `{between}` between"
            );
            bad(&word, what, expected)
        };
        let groups: Vec<&[u8]> = word.text.split(|byte| *byte == separator).collect();
        if groups.len() != count {
            return Err(wrong());
        }
        for group in groups {
            let short = width == 4 && !group.is_empty() && group.len() < width;
            if group.len() != width && !short {
                return Err(wrong());
            }
            let mut digits = vec![b'0'; width - group.len()];
            digits.extend_from_slice(group);
            out.extend(HEXLOWER_PERMISSIVE.decode(&digits).map_err(|_| wrong())?);
        }
        Ok(())
    }
}

/// The two kinds of addresses.
trait Address: FromStr {
    /// The other kind, for the hint.
    type Other: FromStr;
    const EXPECTED: &'static str;
    const OTHER_HINT: &'static str;
}

impl Address for Ipv4Addr {
    type Other = Ipv6Addr;
    const EXPECTED: &'static str = "expected an IPv4 address such as `192.0.2.1`";
    const OTHER_HINT: &'static str = "IPv6 addresses stand in `AAAA` records";
}

impl Address for Ipv6Addr {
    type Other = Ipv4Addr;
    const EXPECTED: &'static str = "expected an IPv6 address such as `2001:db8::1`";
    const OTHER_HINT: &'static str = "IPv4 addresses stand in `A` records";
}

/// Parses a word by the type's own text form.
pub(super) fn parse_str<T: FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A word that is not what it should be.
pub(super) fn bad(word: &Word<'_>, what: &str, expected: impl Display) -> Mistake {
    Mistake::new(word.range(), format!("{} is no {what}: {expected}", quote(word.text)))
}

/// A decimal number without sign, up to `max`.
pub(in crate::zone) fn number(text: &[u8], max: u64) -> Option<u64> {
    let digits = text.iter().all(u8::is_ascii_digit);
    parse_str(text).filter(|value| digits && *value <= max)
}

/// A type's number from its mnemonic.
fn type_word(word: &Word<'_>) -> Result<u16, Mistake> {
    forms::type_number(word.text)
        .ok_or_else(|| bad(word, "record type", "expected a mnemonic such as `AAAA`, or `TYPE123`"))
}

/// Appends the octets a word stands for (RFC 1035 section 5.1).
pub(super) fn unescape(word: &Word<'_>, out: &mut Vec<u8>) -> Result<(), Mistake> {
    if word.form == Form::Mixed {
        return Err(Mistake::new(word.range(), format!("{} is quoted in part", quote(word.text)))
            .hint("put the quotes around the whole string"));
    }
    let mut rest = word.text;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let Some((octet, tail)) = name::unescape(rest) else {
            let at = word.start + word.text.len() - rest.len() - 1;
            let end = (at + 4).min(word.start + word.text.len());
            return Err(Mistake::new(at..end, name::NameError::Escape.to_string()));
        };
        out.push(octet);
        rest = tail;
    }
    Ok(())
}

/// Appends a name in wire form, relative ones below `origin`; gives what is probably not meant.
pub(in crate::zone) fn name(
    word: &Word<'_>,
    origin: &[u8],
    out: &mut Vec<u8>,
) -> Result<Option<Mistake>, Mistake> {
    if word.form != Form::Plain {
        return Err(Mistake::new(word.range(), format!("the name {} is quoted", quote(word.text)))
            .hint("only character-strings stand in quotes"));
    }
    if !word.text.is_ascii() {
        return Err(bad(word, "domain name", "it holds an octet that is not ASCII")
            .hint("write international names in their `xn--` form, single octets as `\\DDD`"));
    }
    let start = out.len();
    name::encode(word.text, origin, out).map_err(|error| bad(word, "domain name", error))?;
    match word.text {
        [address @ .., b'0'..=b'9', b'.'] => {
            let address = word.text.get(..=address.len()).unwrap_or_default();
            return Ok(parse_str::<Ipv4Addr>(address).map(|_| is_address(word)));
        }
        [.., b'.'] => return Ok(None),
        text if !text.contains(&b'.') => return Ok(None),
        _ => {}
    }
    let own = out.get(start..out.len() - origin.len()).unwrap_or_default();
    Ok(doubt(word, own, origin))
}

/// Whether a relative name of several labels looks as if its final dot were forgotten.
fn doubt(word: &Word<'_>, own: &[u8], origin: &[u8]) -> Option<Mistake> {
    let shown = quote(word.text);
    let labels = origin.split_last().map(|(_, labels)| labels).filter(|labels| !labels.is_empty());
    if labels.is_some_and(|labels| ends_with(own, labels)) {
        let what =
            format!("{shown} is relative: it becomes `{}`", name::decode(&[own, origin].concat()));
        return Some(Mistake::new(word.range(), what).hint("a full name ends in a dot"));
    }
    parse_str::<Ipv4Addr>(word.text).map(|_| is_address(word))
}

fn is_address(word: &Word<'_>) -> Mistake {
    let what = format!("{} is an address where a name is expected", quote(word.text));
    Mistake::new(word.range(), what).hint("name the host, and give it an `A` record")
}

/// Whether the labels `own` end in the labels `origin`, in any case.
fn ends_with(own: &[u8], origin: &[u8]) -> bool {
    let mut rest = own;
    while rest.len() > origin.len() {
        let length = rest.first().map_or(0, |length| usize::from(*length));
        rest = rest.get(1 + length..).unwrap_or_default();
    }
    rest.eq_ignore_ascii_case(origin)
}
