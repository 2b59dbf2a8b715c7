//! The embedded database against a sample of the world's clients.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use fastrand::Rng;
use meridian::geo::{Client, Databases, Ground};
use meridian::place::Country;
use meridian::prefix::Prefix;

use crate::oracle::{Oracle, neighbours};

/// Prefix and country of every line of the sample.
fn sample() -> Vec<(Prefix, Country)> {
    let text = std::fs::read_to_string("tests/data/client_sample.csv").unwrap();
    let line = |line: &str| {
        let mut fields = line.split(',');
        let (prefix, country) = (fields.next().unwrap(), fields.next().unwrap());
        (prefix.parse().unwrap(), Country::parse(country).unwrap())
    };
    text.lines().skip(1).map(line).collect()
}

/// A class for each country.
fn class(client: &Client<'_>) -> u32 {
    let code = client
        .place
        .country
        .map_or([0, 0], |country| country.as_str().as_bytes().try_into().unwrap());
    u32::from(u16::from_be_bytes(code))
}

#[test]
fn all_but_six_prefixes_of_the_sample_lie_in_their_country() {
    let databases = Databases::load(&[]).unwrap();
    let ground = Ground::new(&databases, &[]);
    let table = ground.compile(class);
    let sample = sample();
    let mut wrong: HashMap<String, usize> = HashMap::new();
    for (prefix, country) in &sample {
        let address = prefix.address();
        let place = databases.place(address);
        assert_eq!(*ground.client(address).place, place, "{prefix}");
        assert_eq!(table.lookup(address).0, class(&ground.client(address)), "{prefix}");
        assert!(place.country.is_none() || place.point.is_some() && place.continent.is_some());
        if place.country != Some(*country) {
            let found = place.country.map_or_else(|| "unknown".to_owned(), |c| c.to_string());
            *wrong.entry(format!("{country} as {found}")).or_default() += 1;
        }
    }
    let count: usize = wrong.values().sum();
    assert_eq!(sample.len(), 14_793);
    // The six are of UM, islands without people, which the gazetteer leaves out.
    assert_eq!(count, 6, "{wrong:?}");
}

#[test]
fn the_embedded_databases_table_is_exact_and_small() {
    let databases = Databases::load(&[]).unwrap();
    let ground = Ground::new(&databases, &[]);
    let table = ground.compile(class);
    let (v4, v6) = table.bytes();
    assert!(v4 < 4 << 20 && v6 < 4 << 20, "{v4} + {v6} octets");
    let oracle = Oracle::new(&ground, class);
    let mut random = Rng::with_seed(4);
    for _ in 0..20_000 {
        let address: IpAddr = Ipv4Addr::from(random.u32(..)).into();
        assert_eq!(*ground.client(address).place, databases.place(address), "{address}");
        oracle.check(&ground, &table, address);
    }
    for (first, last, _) in ground.runs().step_by(37) {
        for address in [first, last].into_iter().chain(neighbours(first)).chain(neighbours(last)) {
            oracle.check(&ground, &table, address);
        }
    }
}
