//! Any octets where a PROXY header is expected: a header is read as it was written, within a bound.

use std::net::IpAddr;

use meridian::dns::proxy::{FIXED, Head, REST_MAX};

/// The input is what comes first over a connection.
pub fn run(input: &[u8]) {
    let Some((fixed, rest)) = input.split_first_chunk::<FIXED>() else { return };
    let Ok(head) = Head::read(fixed) else { return };
    assert!(head.length() <= REST_MAX, "{} octets are waited for", head.length());
    let Some(rest) = rest.get(..head.length()) else { return };
    let client = head.client(rest);
    let (command, family) = (fixed[12], fixed[13] >> 4);
    assert_eq!(client.is_some(), command == 0x21 && matches!(family, 1 | 2), "{fixed:02x?}");
    let Some(client) = client else { return };
    let (octets, port_at) = match client.ip() {
        IpAddr::V4(v4) => (v4.octets().to_vec(), 8),
        IpAddr::V6(v6) => (v6.octets().to_vec(), 32),
    };
    assert!(rest.starts_with(&octets), "{client}");
    assert!(rest[port_at..].starts_with(&client.port().to_be_bytes()), "{client}");
}
