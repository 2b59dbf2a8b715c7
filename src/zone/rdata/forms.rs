//! The table of record types: number, mnemonic and the fields of the RDATA.

use std::fmt;

use Field::{
    Algorithm, Base64, CertType, Eui, Hash, Hex, Ip4, Ip6, Location, Locator, Name, Octets, Opaque,
    Params, Salt, Seconds, Tag, Text, Texts, Time, Type, Types, U8, U16, U32,
};

/// The form of one field, in text and on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// A domain name, relative to the origin unless it ends in a dot.
    Name,
    /// A domain name that canonical form leaves in its case (types newer than RFC 3597).
    CasedName,
    /// A number of one octet.
    U8,
    /// A number of two octets.
    U16,
    /// A number of four octets.
    U32,
    /// A time of four octets, at most 2^31 - 1, with units.
    Seconds,
    /// A point in time: `YYYYMMDDHHmmSS` or seconds since 1970 (RFC 4034 section 3.2).
    Time,
    /// An IPv4 address.
    Ip4,
    /// An IPv6 address.
    Ip6,
    /// A character-string.
    Text,
    /// One character-string or more.
    Texts,
    /// A CAA tag: a character-string of letters and digits.
    Tag,
    /// One string without a length octet, to the end of the RDATA.
    Octets,
    /// Hexadecimal digits in any number of words, to the end.
    Hex,
    /// Base64 in any number of words, to the end.
    Base64,
    /// A salt: hexadecimal digits in one word, or `-`; one octet of length (RFC 5155 section 3.3).
    Salt,
    /// A hash in base32hex; one octet of length (RFC 5155 section 3.3).
    Hash,
    /// A record type's mnemonic.
    Type,
    /// A type bitmap to the end (RFC 4034 section 4.1.2).
    Types,
    /// A DNSSEC algorithm: number or mnemonic.
    Algorithm,
    /// A CERT type: number or mnemonic (RFC 4398 section 2.1).
    CertType,
    /// So many octets in hexadecimal, separated by hyphens (RFC 7043).
    Eui(u8),
    /// 64 bits as four groups of hexadecimal digits (RFC 6742).
    Locator,
    /// A whole LOC record (RFC 1876).
    Location,
    /// Service parameters to the end (RFC 9460 section 2.1).
    Params,
    /// Anything, written in the generic form of RFC 3597 alone.
    Opaque,
}

/// One type.
pub(super) struct Form {
    pub number: u16,
    pub name: &'static str,
    /// Each field with what it is called in messages.
    pub fields: &'static [(Field, &'static str)],
}

const fn form(number: u16, name: &'static str, fields: &'static [(Field, &'static str)]) -> Form {
    Form { number, name, fields }
}

const OPAQUE: &[(Field, &str)] = &[(Opaque, "RDATA")];
const KEY: &[(Field, &str)] =
    &[(U16, "flags field"), (U8, "protocol"), (Algorithm, "algorithm"), (Base64, "public key")];
const DIGEST: &[(Field, &str)] =
    &[(U16, "key tag"), (Algorithm, "algorithm"), (U8, "digest type"), (Hex, "digest")];
const SIGNATURE: &[(Field, &str)] = &[
    (Type, "type covered"),
    (Algorithm, "algorithm"),
    (U8, "number of labels"),
    (Seconds, "original TTL"),
    (Time, "expiration time"),
    (Time, "inception time"),
    (U16, "key tag"),
    (Name, "signer name"),
    (Base64, "signature"),
];
const SERVICE: &[(Field, &str)] =
    &[(U16, "priority"), (Field::CasedName, "target"), (Params, "parameters")];
const USAGE: &[(Field, &str)] = &[
    (U8, "certificate usage"),
    (U8, "selector"),
    (U8, "matching type"),
    (Hex, "certificate data"),
];

/// All types with a mnemonic, by number.
pub(super) static FORMS: &[Form] = &[
    form(1, "A", &[(Ip4, "address")]),
    form(2, "NS", &[(Name, "name server")]),
    form(3, "MD", &[(Name, "mail agent")]),
    form(4, "MF", &[(Name, "mail agent")]),
    form(5, "CNAME", &[(Name, "canonical name")]),
    form(
        6,
        "SOA",
        &[
            (Name, "primary name server"),
            (Name, "mailbox"),
            (U32, "serial"),
            (Seconds, "refresh time"),
            (Seconds, "retry time"),
            (Seconds, "expire time"),
            (Seconds, "minimum"),
        ],
    ),
    form(7, "MB", &[(Name, "mailbox host")]),
    form(8, "MG", &[(Name, "mailbox")]),
    form(9, "MR", &[(Name, "mailbox")]),
    form(10, "NULL", OPAQUE),
    form(11, "WKS", OPAQUE),
    form(12, "PTR", &[(Name, "name")]),
    form(13, "HINFO", &[(Text, "CPU"), (Text, "operating system")]),
    form(14, "MINFO", &[(Name, "mailbox"), (Name, "error mailbox")]),
    form(15, "MX", &[(U16, "preference"), (Name, "mail exchange")]),
    form(16, "TXT", &[(Texts, "text")]),
    form(17, "RP", &[(Name, "mailbox"), (Name, "TXT name")]),
    form(18, "AFSDB", &[(U16, "subtype"), (Name, "host")]),
    form(19, "X25", &[(Text, "PSDN address")]),
    form(20, "ISDN", &[(Texts, "ISDN address")]),
    form(21, "RT", &[(U16, "preference"), (Name, "intermediate host")]),
    form(22, "NSAP", OPAQUE),
    form(23, "NSAP-PTR", &[(Name, "name")]),
    form(24, "SIG", SIGNATURE),
    form(25, "KEY", KEY),
    form(26, "PX", &[(U16, "preference"), (Name, "RFC 822 domain"), (Name, "X.400 domain")]),
    form(27, "GPOS", &[(Text, "longitude"), (Text, "latitude"), (Text, "altitude")]),
    form(28, "AAAA", &[(Ip6, "address")]),
    form(29, "LOC", &[(Location, "location")]),
    form(30, "NXT", OPAQUE),
    form(31, "EID", OPAQUE),
    form(32, "NIMLOC", OPAQUE),
    form(33, "SRV", &[(U16, "priority"), (U16, "weight"), (U16, "port"), (Name, "target")]),
    form(34, "ATMA", OPAQUE),
    form(
        35,
        "NAPTR",
        &[
            (U16, "order"),
            (U16, "preference"),
            (Text, "flags"),
            (Text, "services"),
            (Text, "regular expression"),
            (Name, "replacement"),
        ],
    ),
    form(36, "KX", &[(U16, "preference"), (Name, "key exchanger")]),
    form(
        37,
        "CERT",
        &[
            (CertType, "certificate type"),
            (U16, "key tag"),
            (Algorithm, "algorithm"),
            (Base64, "certificate"),
        ],
    ),
    form(38, "A6", OPAQUE),
    form(39, "DNAME", &[(Name, "target")]),
    form(40, "SINK", OPAQUE),
    form(41, "OPT", OPAQUE),
    form(42, "APL", OPAQUE),
    form(43, "DS", DIGEST),
    form(44, "SSHFP", &[(U8, "algorithm"), (U8, "fingerprint type"), (Hex, "fingerprint")]),
    form(45, "IPSECKEY", OPAQUE),
    form(46, "RRSIG", SIGNATURE),
    form(47, "NSEC", &[(Field::CasedName, "next name"), (Types, "types")]),
    form(48, "DNSKEY", KEY),
    form(49, "DHCID", &[(Base64, "digest")]),
    form(
        50,
        "NSEC3",
        &[
            (U8, "hash algorithm"),
            (U8, "flags field"),
            (U16, "iterations"),
            (Salt, "salt"),
            (Hash, "next hashed owner"),
            (Types, "types"),
        ],
    ),
    form(
        51,
        "NSEC3PARAM",
        &[(U8, "hash algorithm"), (U8, "flags field"), (U16, "iterations"), (Salt, "salt")],
    ),
    form(52, "TLSA", USAGE),
    form(53, "SMIMEA", USAGE),
    form(55, "HIP", OPAQUE),
    form(59, "CDS", DIGEST),
    form(60, "CDNSKEY", KEY),
    form(61, "OPENPGPKEY", &[(Base64, "public key")]),
    form(62, "CSYNC", &[(U32, "serial"), (U16, "flags field"), (Types, "types")]),
    form(63, "ZONEMD", &[(U32, "serial"), (U8, "scheme"), (U8, "hash algorithm"), (Hex, "digest")]),
    form(64, "SVCB", SERVICE),
    form(65, "HTTPS", SERVICE),
    form(99, "SPF", &[(Texts, "text")]),
    form(104, "NID", &[(U16, "preference"), (Locator, "node identifier")]),
    form(105, "L32", &[(U16, "preference"), (Ip4, "locator")]),
    form(106, "L64", &[(U16, "preference"), (Locator, "locator")]),
    form(107, "LP", &[(U16, "preference"), (Field::CasedName, "name")]),
    form(108, "EUI48", &[(Eui(6), "address")]),
    form(109, "EUI64", &[(Eui(8), "address")]),
    form(128, "NXNAME", OPAQUE),
    form(249, "TKEY", OPAQUE),
    form(250, "TSIG", OPAQUE),
    form(251, "IXFR", OPAQUE),
    form(252, "AXFR", OPAQUE),
    form(253, "MAILB", OPAQUE),
    form(254, "MAILA", OPAQUE),
    form(255, "ANY", OPAQUE),
    form(256, "URI", &[(U16, "priority"), (U16, "weight"), (Octets, "target")]),
    form(257, "CAA", &[(U8, "flags field"), (Tag, "tag"), (Octets, "value")]),
    form(258, "AVC", &[(Texts, "text")]),
    form(260, "AMTRELAY", OPAQUE),
    form(261, "RESINFO", &[(Texts, "text")]),
];

/// The form of a type; `None` for one without a mnemonic, whose RDATA is anything.
pub(super) fn find(number: u16) -> Option<&'static Form> {
    // The table is sorted, and the types of a zone sit near its start.
    FORMS.iter().find(|form| form.number >= number).filter(|form| form.number == number)
}

/// The number of a type's mnemonic or of its generic form `TYPE65280` (RFC 3597 section 5).
pub fn type_number(text: &[u8]) -> Option<u16> {
    let known = FORMS.iter().find(|form| form.name.as_bytes().eq_ignore_ascii_case(text));
    known.map(|form| form.number).or_else(|| generic(text, b"TYPE"))
}

/// The number behind a generic prefix such as `TYPE` or `CLASS`.
pub(crate) fn generic(text: &[u8], prefix: &[u8]) -> Option<u16> {
    let (start, digits) = text.split_at_checked(prefix.len())?;
    let numeric = start.eq_ignore_ascii_case(prefix) && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| numeric)?.parse().ok()
}

/// The mnemonics of all types that can stand in a zone.
pub(crate) fn type_names() -> impl Iterator<Item = &'static str> {
    FORMS.iter().filter(|form| !is_meta(form.number)).map(|form| form.name)
}

/// Whether a type exists in messages only and never in a zone (RFC 6895 section 3.1).
pub fn is_meta(number: u16) -> bool {
    matches!(number, 0 | 41 | 128..=255)
}

/// Shows a type by its mnemonic, else in the generic form `TYPE65280`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeName(pub u16);

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match find(self.0) {
            Some(form) => f.pad(form.name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_types_by_mnemonic_and_by_number() {
        for (text, expected) in [
            ("A", Some(1)),
            ("aaaa", Some(28)),
            ("Https", Some(65)),
            ("TYPE65280", Some(65280)),
            ("type1", Some(1)),
            ("TYPE", None),
            ("TYPE65536", None),
            ("TYPE+1", None),
            ("ANAME", None),
            ("", None),
        ] {
            assert_eq!(type_number(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(TypeName(28).to_string(), "AAAA");
        assert_eq!(TypeName(65280).to_string(), "TYPE65280");
    }

    #[test]
    fn lists_each_type_once_in_order() {
        assert!(FORMS.windows(2).all(|pair| pair[0].number < pair[1].number));
        assert!(FORMS.iter().all(|form| type_number(form.name.as_bytes()) == Some(form.number)));
        assert!(type_names().all(|name| !["ANY", "OPT", "AXFR"].contains(&name)));
    }
}
