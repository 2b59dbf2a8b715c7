//! Any configuration file: mistakes are told where they are, and what is accepted can be served.

use meridian::clock::Tick;
use meridian::config;
use meridian::health::HealthTable;
use meridian::snapshot::{self, Loaded, Publisher};

use super::diagnostics::{self, Lines};
use super::dns_support::{Query, sound};
use super::site::{self, Site};

/// The input takes the place of the file that its third octet names, so that a file can say in a
/// comment which one it is: `# fleet`, `# zone`, else the node's.
pub fn run(input: &[u8]) {
    let name = match input.get(2) {
        Some(b'f') => "config/fleet.toml",
        Some(b'z') => "zones/app.example.com.toml",
        _ => "config/node.toml",
    };
    let site = Site::new(Some((name, input)));
    let text_of = |file: &str| file.ends_with(name).then_some(input);
    let (read, effective) = config::effective(&site.config());
    diagnostics::check(&read.diagnostics, Lines::Feeds, text_of);
    assert_eq!(read.model.is_none(), read.diagnostics.has_errors());
    for value in effective {
        assert!(!format!("{value:?}").is_empty());
    }
    let Some(model) = read.model else { return };
    // Other databases take long to load, and other zones are not of this site.
    let databases = &model.node.geo.databases;
    let own = matches!(&databases[..], [path] if path.ends_with(site::DATABASE.0));
    if !own || model.zones.len() > 1 {
        return;
    }
    match snapshot::load(&site.config(), None) {
        Ok(loaded) => serve(loaded),
        Err(found) => assert!(found.has_errors()),
    }
}

/// Publishes what was loaded and asks for every steered name.
fn serve(loaded: Loaded) {
    let health = HealthTable::new(&loaded.model.fleet, Tick(0));
    let owners = loaded.model.zones.iter().flat_map(|zone| &zone.services);
    let owners: Vec<String> = owners.map(|service| service.owner.to_string()).collect();
    let snapshot = Publisher::new(loaded, health).shared().load_full();
    for owner in owners.iter().take(8) {
        for qtype in [1, 28, 255] {
            let query = Query::new(owner, qtype).subnet([203, 0, 113, 0].into(), 24);
            sound::check(&snapshot, &query.wire());
        }
    }
}
