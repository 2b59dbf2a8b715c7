//! RDATA texts and their wire forms, decoded by another implementation as well.

use hickory_proto::rr::{RData, RecordType};
use hickory_proto::serialize::binary::{BinDecoder, BinEncodable, Restrict};

use super::*;

const NS1: &[u8] = b"\x03ns1\x07example\x03com\x00";

fn origin() -> Name {
    Name::parse("example.com.", &Name::root()).unwrap()
}

fn read(rtype: &str, text: &str) -> Result<Vec<u8>, String> {
    let number = type_number(rtype.as_bytes()).unwrap();
    from_text(number, text, &origin()).map_err(|mistake| mistake.to_string())
}

/// What another implementation says the RDATA is; `None` when it does not decode as a whole.
fn decode(rtype: u16, rdata: &[u8]) -> Option<RData> {
    let mut decoder = BinDecoder::new(rdata);
    let length = Restrict::new(rdata.len() as u16);
    let decoded = RData::read(&mut decoder, RecordType::from(rtype), length).ok()?;
    decoder.is_empty().then_some(decoded)
}

/// Types whose decoder in hickory-proto checks more than the length.
const DECODED: [&str; 26] = [
    "A",
    "AAAA",
    "CAA",
    "CDNSKEY",
    "CDS",
    "CERT",
    "CNAME",
    "CSYNC",
    "DNSKEY",
    "DS",
    "HINFO",
    "HTTPS",
    "MX",
    "NAPTR",
    "NS",
    "NSEC",
    "NSEC3",
    "NSEC3PARAM",
    "OPENPGPKEY",
    "PTR",
    "RRSIG",
    "SMIMEA",
    "SOA",
    "SRV",
    "SSHFP",
    "SVCB",
];

/// Each type in text form, and its wire form with `\xfa` for `ns1.example.com.`.
const FORMS: &[(&str, &str, &[u8])] = &[
    ("A", "192.0.2.1", &[192, 0, 2, 1]),
    ("AAAA", "2001:DB8::1", b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"),
    ("AAAA", "::ffff:192.0.2.1", b"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01"),
    ("NS", "ns1", b"\xfa"),
    ("CNAME", "ns1.example.com.", b"\xfa"),
    ("CNAME", "@", b"\x07example\x03com\x00"),
    ("CNAME", ".", b"\x00"),
    ("CNAME", "a\\.b\\046c.", b"\x05a.b.c\x00"),
    ("PTR", "Ns1.Org.", b"\x03Ns1\x03Org\x00"),
    ("DNAME", "ns1", b"\xfa"),
    ("MB", "ns1", b"\xfa"),
    (
        "SOA",
        "ns1 host\\.master.org. ( 2026010101 ; serial\n 1h 15m 1w 300 )",
        b"\xfa\x0bhost.master\x03org\x00\x78\xc2\x75\xf5\0\0\x0e\x10\0\0\x03\x84\
          \0\x09\x3a\x80\0\0\x01\x2c",
    ),
    ("MX", "10 ns1", b"\0\x0a\xfa"),
    ("MX", "0 .", b"\0\0\0"),
    ("RT", "1 ns1", b"\0\x01\xfa"),
    ("KX", "1 ns1", b"\0\x01\xfa"),
    ("AFSDB", "1 ns1", b"\0\x01\xfa"),
    ("LP", "1 ns1", b"\0\x01\xfa"),
    ("RP", "ns1 .", b"\xfa\0"),
    ("MINFO", "ns1 ns1", b"\xfa\xfa"),
    ("PX", "10 ns1 .", b"\0\x0a\xfa\0"),
    ("SRV", "1 2 443 ns1", b"\0\x01\0\x02\x01\xbb\xfa"),
    ("TXT", "a", b"\x01a"),
    ("TXT", "\"a b;(c)\" d \"\"", b"\x07a b;(c)\x01d\x00"),
    ("TXT", "( \"v=DKIM1; k=rsa; \"\n  \"p=AB\" )", b"\x10v=DKIM1; k=rsa; \x04p=AB"),
    ("TXT", "\"\\065\\066\\\"\\\\\\;\" \\255", b"\x05AB\"\\;\x01\xff"),
    ("TXT", "\"\u{e4}\"", b"\x02\xc3\xa4"),
    ("SPF", "\"v=spf1 -all\"", b"\x0bv=spf1 -all"),
    ("HINFO", "\"PC 1\" Linux", b"\x04PC 1\x05Linux"),
    ("X25", "311061700956", b"\x0c311061700956"),
    ("ISDN", "150862028003217 004", b"\x0f150862028003217\x03004"),
    ("GPOS", "-32.6882 116.8652 10.0", b"\x08-32.6882\x08116.8652\x0410.0"),
    ("CAA", "0 issue \"ca.example.net; a=b\"", b"\0\x05issueca.example.net; a=b"),
    ("CAA", "128 iodef mailto:a@b", b"\x80\x05iodefmailto:a@b"),
    ("CAA", "0 issue \"\"", b"\0\x05issue"),
    ("URI", "10 1 \"ftp://ftp.example.com/public\"", b"\0\x0a\0\x01ftp://ftp.example.com/public"),
    (
        "NAPTR",
        "100 50 \"s\" \"http+I2L+I2C+I2R\" \"\" _http._tcp.gatech.edu.",
        b"\0\x64\0\x32\x01s\x10http+I2L+I2C+I2R\x00\x05_http\x04_tcp\x06gatech\x03edu\x00",
    ),
    (
        "NAPTR",
        r#"100 10 "u" "E2U+sip" "!^.*$!sip:\\1@e.org!" ."#,
        b"\0\x64\0\x0a\x01u\x07E2U+sip\x13!^.*$!sip:\\1@e.org!\x00",
    ),
    ("CERT", "PGP 0 RSASHA256 AQI=", b"\0\x03\0\0\x08\x01\x02"),
    ("CERT", "65000 1 0 AQ ID", b"\xfd\xe8\0\x01\0\x01\x02\x03"),
    ("DS", "60485 5 9 ( 2BB183AF 01 )", b"\xec\x45\x05\x09\x2b\xb1\x83\xaf\x01"),
    ("CDS", "0 0 0 00", b"\0\0\0\0\0"),
    ("DNSKEY", "257 3 ECDSAP256SHA256 AQ==", b"\x01\x01\x03\x0d\x01"),
    ("DNSKEY", "256 3 15 AQID BAUG", b"\x01\0\x03\x0f\x01\x02\x03\x04\x05\x06"),
    ("CDNSKEY", "0 3 0 AA==", b"\0\0\x03\0\0"),
    ("KEY", "256 3 5 AQ==", b"\x01\0\x03\x05\x01"),
    (
        "RRSIG",
        "A 5 3 86400 20030322173103 1045935063 2642 ns1 AQID",
        b"\0\x01\x05\x03\0\x01\x51\x80\x3e\x7c\x9d\xd7\x3e\x57\xb3\xd7\x0a\x52\xfa\x01\x02\x03",
    ),
    (
        "NSEC",
        "ns1 A MX RRSIG NSEC TYPE1234",
        b"\xfa\0\x06\x40\x01\0\0\0\x03\x04\x1b\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
          \0\0\0\0\0\0\0\0\0\0\x20",
    ),
    ("NSEC", "ns1", b"\xfa"),
    (
        "NSEC3",
        "1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr MX A",
        b"\x01\x01\0\x0c\x04\xaa\xbb\xcc\xdd\x14\x17\x4e\xb2\x40\x9f\xe2\x8b\xcb\x48\
          \x87\xa1\x83\x6f\x95\x7f\x0a\x84\x25\xe2\x7b\0\x02\x40\x01",
    ),
    ("NSEC3PARAM", "1 0 0 -", b"\x01\0\0\0\0"),
    ("NSEC3PARAM", "1 0 10 AAbb", b"\x01\0\0\x0a\x02\xaa\xbb"),
    ("SSHFP", "2 9 123456789abcdef67890", b"\x02\x09\x12\x34\x56\x78\x9a\xbc\xde\xf6\x78\x90"),
    ("TLSA", "3 1 0 0a0B", b"\x03\x01\0\x0a\x0b"),
    ("SMIMEA", "3 0 0 00", b"\x03\0\0\0"),
    ("OPENPGPKEY", "AQ ID", b"\x01\x02\x03"),
    ("DHCID", "AQID", b"\x01\x02\x03"),
    ("CSYNC", "66 3 A NS AAAA", b"\0\0\0\x42\0\x03\0\x04\x60\0\0\x08"),
    ("CSYNC", "66 3", b"\0\0\0\x42\0\x03"),
    ("ZONEMD", "2018031500 1 9 FEBE3D4C", b"\x78\x48\xb7\x8c\x01\x09\xfe\xbe\x3d\x4c"),
    ("NID", "10 0014:4fff:ff20:ee64", b"\0\x0a\0\x14\x4f\xff\xff\x20\xee\x64"),
    ("L32", "10 192.0.2.1", b"\0\x0a\xc0\0\x02\x01"),
    ("L64", "10 2001:DB8:1140:1", b"\0\x0a\x20\x01\x0d\xb8\x11\x40\0\x01"),
    ("EUI48", "00-00-5e-00-53-2A", b"\0\0\x5e\0\x53\x2a"),
    ("EUI64", "00-00-5e-ef-10-00-00-2a", b"\0\0\x5e\xef\x10\0\0\x2a"),
    (
        "LOC",
        "42 21 54 N 71 06 18 W -24m 30m",
        b"\0\x33\x16\x13\x89\x17\x2d\xd0\x70\
          \xbe\x15\xf0\0\x98\x8d\x20",
    ),
    ("LOC", "0 N 0 E 0", b"\0\x12\x16\x13\x80\0\0\0\x80\0\0\0\0\x98\x96\x80"),
    (
        "LOC",
        "89 59 59.999 s 179 E 42849672.95m 0 90000000m 1.5m",
        b"\0\0\x99\x12\x6c\xb0\x27\x01\xa6\x68\xc3\x80\xff\xff\xff\xff",
    ),
    ("SVCB", "0 ns1", b"\0\0\xfa"),
    ("SVCB", "16 .", b"\0\x10\0"),
    ("HTTPS", "1 ns1 alpn=h2,h3", b"\0\x01\xfa\0\x01\0\x06\x02h2\x02h3"),
    (
        "HTTPS",
        "1 . alpn=\"h2,h3\" port=8443 no-default-alpn",
        b"\0\x01\0\0\x01\0\x06\x02h2\x02h3\0\x02\0\0\0\x03\0\x02\x20\xfb",
    ),
    ("SVCB", "1 . alpn=\"f\\\\\\\\oo\\\\,bar,h2\"", b"\0\x01\0\0\x01\0\x0c\x08f\\oo,bar\x02h2"),
    ("SVCB", "1 . alpn=f\\\\\\092oo\\092,bar,h2", b"\0\x01\0\0\x01\0\x0c\x08f\\oo,bar\x02h2"),
    (
        "HTTPS",
        "1 . ipv6hint=2001:db8::1 ipv4hint=192.0.2.1,192.0.2.2",
        b"\0\x01\0\0\x04\0\x08\xc0\0\x02\x01\xc0\0\x02\x02\0\x06\0\x10\x20\x01\x0d\xb8\
          \0\0\0\0\0\0\0\0\0\0\0\x01",
    ),
    (
        "SVCB",
        "16 ns1 alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1",
        b"\0\x10\xfa\0\0\0\x04\0\x01\0\x04\0\x01\0\x09\x02h2\x05h3-19\0\x04\0\x04\xc0\0\x02\x01",
    ),
    ("SVCB", "1 . ech=AQID", b"\0\x01\0\0\x05\0\x03\x01\x02\x03"),
    ("SVCB", "1 . key667=hello", b"\0\x01\0\x02\x9b\0\x05hello"),
    ("SVCB", "1 . key667=\"hello\\210qoo\"", b"\0\x01\0\x02\x9b\0\x09hello\xd2qoo"),
    ("SVCB", "1 . key667", b"\0\x01\0\x02\x9b\0\0"),
    ("SVCB", "1 . key3=\\001\\187", b"\0\x01\0\0\x03\0\x02\x01\xbb"),
    ("SVCB", "1 . dohpath=/q{?dns} ohttp", b"\0\x01\0\0\x07\0\x08/q{?dns}\0\x08\0\0"),
    ("A", "\\# 4 C0000201", &[192, 0, 2, 1]),
    ("MX", "\\# 3 ( 000A\n 00 )", b"\0\x0a\0"),
    ("TYPE65280", "\\# 0", b""),
    ("TYPE65280", "\\# 5 01 02 03 0405", b"\x01\x02\x03\x04\x05"),
    ("APL", "\\# 1 ff", b"\xff"),
];

#[test]
fn writes_each_type_in_wire_form() {
    for (rtype, text, expected) in FORMS {
        let octets = expected.iter();
        let named = |octet: &u8| if *octet == 0xfa { NS1.to_vec() } else { vec![*octet] };
        let expected: Vec<u8> = octets.flat_map(named).collect();
        assert_eq!(read(rtype, text), Ok(expected), "{rtype} {text}");
    }
}

#[test]
fn another_implementation_reads_what_is_written_and_writes_it_again() {
    for (rtype, text, _) in FORMS {
        let number = type_number(rtype.as_bytes()).unwrap();
        let Ok(rdata) = read(rtype, text) else { continue };
        let decoded = decode(number, &rdata);
        assert!(decoded.is_some(), "{rtype} {text}");
        if DECODED.contains(rtype) {
            let encoded = decoded.unwrap().to_bytes().unwrap();
            assert_eq!(encoded, rdata, "{rtype} {text}");
        }
    }
}

#[test]
fn takes_its_own_wire_form_in_the_generic_form() {
    for (rtype, text, _) in FORMS {
        let Ok(rdata) = read(rtype, text) else { continue };
        let hex = data_encoding::HEXLOWER.encode(&rdata);
        assert_eq!(read(rtype, &format!("\\# {} {hex}", rdata.len())), Ok(rdata), "{rtype} {text}");
    }
}

/// Text that is no RDATA of the type, and what is said about it.
const WRONG: &[(&str, &str, &str)] = &[
    ("A", "", "the address is missing"),
    ("A", "192.0.2", "`192.0.2` is no address: expected an IPv4 address such as `192.0.2.1`"),
    ("A", "192.0.2.01", "`192.0.2.01` is no address: expected an IPv4 address such as `192.0.2.1`"),
    (
        "A",
        "::1",
        "`::1` is no address: expected an IPv4 address such as `192.0.2.1` (IPv6 \
                      addresses stand in `AAAA` records)",
    ),
    (
        "AAAA",
        "192.0.2.1",
        "`192.0.2.1` is no address: expected an IPv6 address such as \
                      `2001:db8::1` (IPv4 addresses stand in `A` records)",
    ),
    ("A", "\"192.0.2.1\"", "the address is quoted (only character-strings stand in quotes)"),
    ("A", "192.0.2.1 192.0.2.2", "`192.0.2.2` is left over after the RDATA of `A`"),
    ("NS", "a..b", "`a..b` is no domain name: a label of the name is empty"),
    ("NS", "\"a\"", "the name `a` is quoted (only character-strings stand in quotes)"),
    (
        "NS",
        "bücher",
        "`bücher` is no domain name: it holds an octet that is not ASCII (write \
                      international names in their `xn--` form, single octets as `\\DDD`)",
    ),
    ("MX", "ns1", "`ns1` is no preference: expected a number up to 65535"),
    ("MX", "65536 ns1", "`65536` is no preference: expected a number up to 65535"),
    ("MX", "10", "the mail exchange is missing"),
    ("SRV", "1 2 -3 ns1", "`-3` is no port: expected a number up to 65535"),
    ("SOA", "a b 1 2 3 4", "the minimum is missing"),
    (
        "SOA",
        "a b 4294967296 2 3 4 5",
        "`4294967296` is no serial: expected a number up to 4294967295",
    ),
    (
        "SOA",
        "a b 1 1y 3 4 5",
        "`1y` is no refresh time: expected seconds, or numbers with units \
                      as in `1h30m` (w, d, h, m, s)",
    ),
    ("TXT", "", "the text is missing"),
    ("TXT", "a\"b\"", "`a\"b\"` is quoted in part (put the quotes around the whole string)"),
    ("TXT", "\"a\\25\"", "`\\` must be followed by a character or three digits up to 255"),
    ("TXT", "\\300", "`\\` must be followed by a character or three digits up to 255"),
    ("CAA", "0 is-sue x", "`is-sue` is no tag: expected letters and digits, such as `issue`"),
    ("CAA", "0 issue a b", "`b` is left over after the RDATA of `CAA`"),
    ("DS", "1 8 2", "the digest is missing"),
    ("DS", "1 8 2 abc", "the digest has an odd number of hexadecimal digits"),
    ("DS", "1 8 2 xyz", "`xyz` is no digest: expected hexadecimal digits"),
    ("DS", "1 RSASHA 2 ab", "`RSASHA` is no algorithm: expected a mnemonic or a number up to 255"),
    ("DNSKEY", "256 3 8 A$==", "`A$==` is no public key: expected base64"),
    (
        "DNSKEY",
        "256 3 8 AQI",
        "the public key is no whole base64 (groups of four symbols, the \
                      last filled up with `=`)",
    ),
    (
        "NSEC",
        "ns1 A FOO",
        "`FOO` is no record type: expected a mnemonic such as `AAAA`, or `TYPE123`",
    ),
    (
        "RRSIG",
        "A 5 3 1 20031322000000 1 1 ns1 AQ==",
        "`20031322000000` is no expiration time: \
                      expected YYYYMMDDHHmmSS or seconds",
    ),
    ("NSEC3PARAM", "1 0 0 xx", "`xx` is no salt: expected hexadecimal digits or `-`"),
    (
        "NSEC3",
        "1 0 0 - wxyz",
        "`wxyz` is no next hashed owner: expected base32 with digits and a to v",
    ),
    (
        "EUI48",
        "00-00-5e-00-53",
        "`00-00-5e-00-53` is no address: expected 6 groups of 2 \
                      hexadecimal digits with `-` between",
    ),
    (
        "L64",
        "1 1:2:3:",
        "`1:2:3:` is no locator: expected 4 groups of 4 hexadecimal digits with `:` between",
    ),
    ("LOC", "91 N 0 E 0", "`91` is no latitude: expected degrees from 0 to 90"),
    (
        "LOC",
        "90 0 0.001 N 0 E 0",
        "`N` is no latitude: expected `N` or `S` after at most 90 degrees",
    ),
    ("LOC", "1 60 N 0 E 0", "`60` is no latitude: expected `N`, `S` or minutes from 0 to 59"),
    (
        "LOC",
        "1 0 1.0001 N 0 E 0",
        "`1.0001` is no latitude: expected `N`, `S` or seconds from 0 to 59",
    ),
    ("LOC", "1 N 1 N 0", "`N` is no longitude: expected `E`, `W` or minutes from 0 to 59"),
    (
        "LOC",
        "1 N 1 E high",
        "`high` is no altitude: expected metres from -100000.00 to 42849672.95, \
                      such as `-24.5m`",
    ),
    ("LOC", "1 N 1 E 0 1km", "`1km` is no size: expected metres from 0 to 90000000.00"),
    ("SVCB", "1 . alpn", "the value of `alpn` is wrong: it is missing"),
    (
        "SVCB",
        "1 . alpn=h2,,h3",
        "the value of `alpn` is wrong: expected protocols of 1 to 255 \
                      octets with commas between",
    ),
    ("SVCB", "1 . alpn=h2 alpn=h3", "the parameter `alpn` is given twice"),
    ("SVCB", "1 . port=x", "the value of `port` is wrong: expected a number up to 65535"),
    (
        "SVCB",
        "1 . ipv4hint=",
        "the value of `ipv4hint` is wrong: expected IPv4 addresses with commas between",
    ),
    (
        "SVCB",
        "1 . ipv6hint=1.2.3.4",
        "the value of `ipv6hint` is wrong: expected IPv6 addresses with commas between",
    ),
    ("SVCB", "1 . ech=x", "the value of `ech` is wrong: expected base64"),
    ("SVCB", "1 . no-default-alpn", "`no-default-alpn` without `alpn` leaves no protocol"),
    (
        "SVCB",
        "1 . alpn=h2 no-default-alpn=x",
        "the value of `no-default-alpn` is wrong: it takes none",
    ),
    ("SVCB", "1 . mandatory=port", "`mandatory` lists a parameter that is missing: `port`"),
    ("SVCB", "1 . mandatory=mandatory", "`mandatory` must not list itself: `mandatory`"),
    ("SVCB", "1 . port=1 mandatory=port,port", "`mandatory` lists a parameter twice: `port`"),
    (
        "SVCB",
        "1 . mandatory=x",
        "the value of `mandatory` is wrong: expected keys with commas between",
    ),
    ("SVCB", "1 . key65535=x", "the parameter `key65535` is reserved"),
    ("SVCB", "1 . dohpath=\"a\"b", "the value is quoted in part"),
    (
        "SVCB",
        "1 . alpm=h2",
        "unknown parameter `alpm=h2` (expected KEY or KEY=VALUE with one of \
                      mandatory, alpn, no-default-alpn, port, ipv4hint, ech, ipv6hint, \
 dohpath, ohttp, \
                      or key65280)",
    ),
    (
        "TYPE65280",
        "abc",
        "the RDATA of type `TYPE65280` has no text form (write it as `\\# LENGTH HEX` \
                      (RFC 3597))",
    ),
    (
        "APL",
        "1:192.0.2.0/24",
        "the RDATA of this type has no text form here (write it as \
                      `\\# LENGTH HEX` (RFC 3597))",
    ),
    ("TYPE65280", "\\# 2 01", "the length is 2, but there are 1 octets"),
    ("TYPE65280", "\\# x 01", "`x` is no length: expected a number up to 65535"),
    ("TYPE65280", "\\# 1 0", "the RDATA has an odd number of hexadecimal digits"),
    ("A", "\\# 3 010203", "the octets are no RDATA of `A`: wrong at its address"),
    ("A", "\\# 5 0102030405", "the octets are no RDATA of `A`: wrong at its end"),
    ("A", "192.0.2.1\n192.0.2.2", "the text goes on after the record"),
];

#[test]
fn says_what_is_wrong_in_each_field() {
    for (rtype, text, expected) in WRONG {
        assert_eq!(read(rtype, text), Err((*expected).to_owned()), "{rtype} {text}");
    }
}

#[test]
fn bounds_strings_and_rdata() {
    assert!(read("TXT", &format!("\"{}\"", "x".repeat(255))).is_ok());
    let long = read("TXT", &format!("\"{}\"", "x".repeat(256))).unwrap_err();
    assert!(long.starts_with("the string has 256 octets: at most 255"), "{long}");
    let full = format!("\"{}\" ", "x".repeat(255));
    assert_eq!(read("TXT", &full.repeat(255)).unwrap().len(), 65_280);
    let long = read("TXT", &full.repeat(257)).unwrap_err();
    assert_eq!(long, "the RDATA has 65792 octets: at most 65535");
}
