//! What grows old on a node: certificates and geo databases.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::interval_at;
use tokio_util::sync::CancellationToken;

use super::events::{Events, Happening};
use crate::clock;
use crate::snapshot::{Snapshot, State};
use crate::tls::Certificate;

/// The first look comes when the files have been read and readers are there.
const FIRST: Duration = Duration::from_secs(60);
/// What is old is told once a day.
const EVERY: Duration = Duration::from_secs(86_400);
/// Certificates are told of in their last two weeks.
const DAYS_LEFT: i64 = 14;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// Tells once a day of what is old, until `stop`.
pub async fn watch_ages(
    snapshot: Arc<ArcSwap<Snapshot>>,
    events: Arc<Events>,
    stop: CancellationToken,
) {
    let mut look = interval_at(tokio::time::Instant::now() + FIRST, EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {}
        }
        if let Some(state) = &snapshot.load_full().state {
            for what in old(state, clock::unix_seconds()) {
                events.tell(what);
            }
        }
    }
}

/// What is old at this second since 1970.
fn old(state: &State, unix_now: u64) -> Vec<Happening> {
    let node = &state.loaded.model.node;
    let dns = node.dns.as_ref().and_then(|dns| dns.transports.certificate.as_ref());
    let admin = node.admin.as_ref().and_then(|admin| admin.tls.as_ref());
    let proxied = node.proxy.iter().flat_map(|proxy| proxy.certificates.all());
    let shown = dns.into_iter().map(|certificate| ("dns", certificate));
    let shown = shown.chain(admin.map(|tls| ("admin", &tls.certificate)));
    let shown = shown.chain(proxied.map(|certificate| ("proxy", certificate)));
    let ending = shown.filter_map(|(place, certificate)| {
        let days_left = days_left(certificate, unix_now);
        (days_left < DAYS_LEFT).then(|| Happening::Certificate {
            place: place.to_owned(),
            names: certificate.names().to_vec(),
            days_left,
        })
    });
    let max_age = node.geo.max_age;
    let databases = state.loaded.databases.all().iter();
    let aged = databases.filter(|database| database.age(unix_now) > max_age);
    let aged = aged.map(|database| Happening::GeoAge {
        database: database.file().to_owned(),
        days: database.age(unix_now).as_secs() / DAY.unsigned_abs(),
    });
    ending.chain(aged).collect()
}

/// Whole days until a certificate ends; negative since it has ended.
fn days_left(certificate: &Certificate, unix_now: u64) -> i64 {
    let (_, ends) = certificate.validity();
    ends.saturating_sub(unix_now.cast_signed()).div_euclid(DAY)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::health::HealthTable;
    use crate::snapshot::{Publisher, load};

    #[test]
    fn certificates_and_databases_are_told_of_when_they_are_old() {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["ns1.example.com".to_owned()]).unwrap();
        let write = |path: &str, text: &str| fs::write(folder.path().join(path), text).unwrap();
        fs::create_dir(folder.path().join("tls")).unwrap();
        for (chain, key) in [("chain.pem", "key.pem"), ("tls/a.pem", "tls/a.key")] {
            write(chain, &made.cert.pem());
            write(key, &made.signing_key.serialize_pem());
        }
        write("fleet.toml", "version = 1\n[region.eu]\nlocation = \"DE\"\n");
        write(
            "node.toml",
            "version = 1\n[node]\nname = \"a\"\nregion = \"eu\"\n[geo]\nmax_age = \"45d\"\n\
             [admin]\ntls.chain = \"chain.pem\"\ntls.key = \"key.pem\"\n\
             [proxy]\nhttp = [\"127.0.0.1:80\"]\ncertificates = \"tls/\"\n",
        );
        let loaded = load(folder.path(), None).unwrap_or_else(|wrong| panic!("{wrong}"));
        let built = loaded.databases.all()[0].built();
        let certificate = loaded.model.node.admin.clone().unwrap().tls.unwrap().certificate;
        let ends = certificate.validity().1.unsigned_abs();
        let health = HealthTable::new(&loaded.model.fleet, clock::now());
        let snapshot = Publisher::new(loaded, health).shared().load_full();
        let state = snapshot.state.as_ref().unwrap();
        let kinds =
            |now: u64| -> Vec<&str> { old(state, now).iter().map(Happening::kind).collect() };
        let day = DAY.unsigned_abs();
        assert_eq!(kinds(built + 44 * day), [""; 0]);
        assert_eq!(kinds(built + 46 * day), ["geo"]);
        assert_eq!(kinds(ends - 13 * day), ["certificate", "certificate", "geo"]);
        let told = old(state, ends + 36 * 3_600);
        let Happening::Certificate { days_left, names, .. } = &told[0] else { panic!("{told:?}") };
        assert_eq!((*days_left, names[0].as_str()), (-2, "ns1.example.com"));
        let Happening::Certificate { place, .. } = &told[1] else { panic!("{told:?}") };
        assert_eq!(place, "proxy");
    }
}
