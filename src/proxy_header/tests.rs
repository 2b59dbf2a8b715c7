//! Headers of both versions, read whole and octet by octet, and written.

use proptest::prelude::*;

use super::*;

/// A header of version 2 whose length is the true one.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = (rest.len() as u16).to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, rest].concat()
}

/// Whom a header speaks for, as text; `-`: nobody.
fn spoken_for(octets: &[u8]) -> Result<String, Malformed> {
    match read(octets)? {
        Read::Needs(more) => Ok(format!("{more} more")),
        Read::Whole { ends: None, .. } => Ok("-".to_owned()),
        Read::Whole { ends: Some(ends), .. } => {
            Ok(format!("{} to {}", ends.source, ends.destination))
        }
    }
}

#[test]
fn binary_headers_name_the_client_or_nobody() {
    let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 53];
    let mut v6 = [0; 36];
    v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    v6[15] = 9;
    v6[31] = 1;
    v6[32..].copy_from_slice(&[0x12, 0x34, 3, 85]);
    let noted = [&v4[..], &[4, 0, 3, 1, 2, 3]].concat();
    let of_v4 = Ok("192.0.2.7:4660 to 10.0.0.1:53");
    for (what, command, family, rest, expected) in [
        ("IPv4 over TCP", 0x21, 0x11, &v4[..], of_v4),
        ("IPv4 over UDP", 0x21, 0x12, &v4, of_v4),
        ("IPv4 with a note", 0x21, 0x11, &noted, of_v4),
        ("IPv6", 0x21, 0x21, &v6, Ok("[2001:db8::9]:4660 to [::1]:853")),
        ("a proxy that asks for itself", 0x20, 0x00, &[], Ok("-")),
        ("the same with addresses", 0x20, 0x11, &v4, Ok("-")),
        ("a client that is not named", 0x21, 0x00, &[], Ok("-")),
        ("a client on a path", 0x21, 0x31, &[b'/'; 216], Ok("-")),
        ("version 1 in binary", 0x11, 0x11, &v4, Err(Malformed)),
        ("an unknown command", 0x22, 0x11, &v4, Err(Malformed)),
        ("an unknown family", 0x21, 0x41, &v4, Err(Malformed)),
        ("too few octets", 0x21, 0x11, &v4[..11], Err(Malformed)),
        ("too few octets for IPv6", 0x21, 0x21, &v6[..35], Err(Malformed)),
        ("an absurd length", 0x21, 0x11, &[0; REST_MAX + 1], Err(Malformed)),
    ] {
        let header = binary(command, family, rest);
        assert_eq!(spoken_for(&header).as_deref(), expected.as_ref().copied(), "{what}");
    }
    let mut header = binary(0x21, 0x11, &v4);
    header[3] ^= 1;
    assert_eq!(read(&header), Err(Malformed), "another signature");
}

#[test]
fn lines_name_the_client_or_nobody() {
    for (line, expected) in [
        ("TCP4 192.0.2.7 10.0.0.1 4660 53\r\n", Ok("192.0.2.7:4660 to 10.0.0.1:53")),
        ("TCP6 2001:db8::9 ::1 4660 853\r\n", Ok("[2001:db8::9]:4660 to [::1]:853")),
        ("TCP4 192.0.2.7 10.0.0.1 0 65535\r\nGET", Ok("192.0.2.7:0 to 10.0.0.1:65535")),
        ("UNKNOWN\r\n", Ok("-")),
        ("UNKNOWN ffff::1 whatever 1 2\r\n", Ok("-")),
        ("TCP4 192.0.2.7 10.0.0.1 4660 53", Ok("2 more")),
        ("TCP4 192.0.2.7 10.0.0.1 4660 53\r", Ok("1 more")),
        ("TCP4 1", Ok("3 more")),
        ("TCP4 192.0.2.7 10.0.0.1 4660 53 \r\n", Err(Malformed)),
        ("TCP4 192.0.2.7  10.0.0.1 4660 53\r\n", Err(Malformed)),
        ("TCP4 192.0.2.7 10.0.0.1 4660\r\n", Err(Malformed)),
        ("TCP4 192.0.2.7 10.0.0.1 4660 +53\r\n", Err(Malformed)),
        ("TCP4 192.0.2.7 10.0.0.1 4660 053\r\n", Err(Malformed)),
        ("TCP4 192.0.2.7 10.0.0.1 4660 65536\r\n", Err(Malformed)),
        ("TCP4 192.0.2.07 10.0.0.1 4660 53\r\n", Err(Malformed)),
        ("TCP4 ::1 ::1 4660 53\r\n", Err(Malformed)),
        ("TCP6 192.0.2.7 10.0.0.1 4660 53\r\n", Err(Malformed)),
        ("UDP4 192.0.2.7 10.0.0.1 4660 53\r\n", Err(Malformed)),
        ("tcp4 192.0.2.7 10.0.0.1 4660 53\r\n", Err(Malformed)),
        ("TCP4 192.0.2.7 10.0.0.1 4660 53\n\n", Ok("2 more")),
    ] {
        let header = format!("PROXY {line}");
        assert_eq!(spoken_for(header.as_bytes()).as_deref(), expected.as_ref().copied(), "{line}");
    }
    let endless = format!("PROXY UNKNOWN {}", "x".repeat(LINE_MAX));
    assert_eq!(read(endless.as_bytes()), Err(Malformed));
    for other in ["GET / HTTP/1.1\r\n", "PROXZ", "\r\n\r\n\r\n", "\x16\x03\x01"] {
        assert_eq!(read(other.as_bytes()), Err(Malformed), "{other:?}");
    }
}

#[test]
fn what_is_written_is_read() {
    let ends = |source: &str, destination: &str| Ends {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    };
    for (case, given, expected) in [
        ("nobody", None, "-"),
        ("IPv4", Some(ends("192.0.2.7:1", "10.0.0.1:2")), "192.0.2.7:1 to 10.0.0.1:2"),
        ("IPv6", Some(ends("[2001:db8::9]:1", "[::1]:2")), "[2001:db8::9]:1 to [::1]:2"),
        ("mapped", Some(ends("[::ffff:1.2.3.4]:1", "10.0.0.1:2")), "1.2.3.4:1 to 10.0.0.1:2"),
        (
            "one of each",
            Some(ends("192.0.2.7:1", "[2001:db8::1]:2")),
            "[::ffff:192.0.2.7]:1 to [2001:db8::1]:2",
        ),
    ] {
        for version in [Version::V1, Version::V2] {
            let mut header = write(version, given);
            let whole = header.len();
            assert_eq!(spoken_for(&header).as_deref(), Ok(expected), "{case}");
            header.extend_from_slice(b"GET /");
            let read = read(&header);
            assert!(matches!(read, Ok(Read::Whole { length, .. }) if length == whole), "{case}");
        }
    }
}

proptest! {
    #[test]
    fn a_reader_who_takes_what_is_needed_ends_with_the_header(
        octets in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "PROXY (TCP4|TCP6|UNKNOWN) [0-9a-f.: ]{0,60}\r?\n?".prop_map(String::into_bytes),
            (0x20_u8..0x23, any::<u8>(), prop::collection::vec(any::<u8>(), 0..60))
                .prop_map(|(command, family, rest)| binary(command, family, &rest)),
        ],
        behind in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let all = [&octets[..], &behind].concat();
        let mut taken = 0;
        loop {
            match read(&all[..taken]) {
                Ok(Read::Needs(more)) => {
                    prop_assert!(more > 0 && taken + more <= HEADER_MAX);
                    if taken + more > all.len() {
                        break;
                    }
                    taken += more;
                }
                Ok(Read::Whole { length, ends }) => {
                    prop_assert_eq!(length, taken, "nothing of the client's was taken");
                    prop_assert_eq!(read(&all), Ok(Read::Whole { length, ends }));
                    break;
                }
                Err(Malformed) => {
                    prop_assert_eq!(read(&all), Err(Malformed));
                    break;
                }
            }
        }
    }
}
