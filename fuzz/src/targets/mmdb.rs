//! Any geo database: it is refused, or compiled look-ups agree with those in the database itself.

use std::net::IpAddr;

use meridian::geo::{Databases, Ground};
use meridian::place::Country;

/// Addresses at the edges of both families and in the forms that carry an IPv4 address.
const CLIENTS: &[&str] = &[
    "0.0.0.0",
    "1.1.1.1",
    "1.1.1.16",
    "81.2.69.160",
    "128.0.0.0",
    "192.0.2.1",
    "255.255.255.255",
    "::",
    "::1.1.1.1",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
    "2002:101:101::1",
    "2001:db8::1",
    "2001:218::1",
    "ffff::",
];

/// The input is a database file.
pub fn run(input: &[u8]) {
    let Ok(databases) = Databases::from_octets("input.mmdb", input.to_vec()) else { return };
    let ground = Ground::new(&databases, &[]);
    let class = |country: Option<Country>| match country {
        Some(country) => {
            country.as_str().bytes().fold(0, |class, octet| class << 8 | u32::from(octet))
        }
        None => 0,
    };
    let table = ground.compile(|client| class(client.place.country));
    for client in CLIENTS {
        let client: IpAddr = client.parse().unwrap();
        let place = databases.place(client);
        assert_eq!(*ground.client(client).place, place, "{client}");
        let (found, scope) = table.lookup(client);
        assert_eq!(found, class(place.country), "{client}");
        assert!(scope <= if client.is_ipv4() { 32 } else { 128 }, "{client}");
    }
}
