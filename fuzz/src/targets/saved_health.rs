//! Any saved health: it is refused, or a table starts from it.

use std::sync::LazyLock;

use meridian::clock::Tick;
use meridian::config;
use meridian::health::{HealthTable, SavedHealth};
use meridian::model::Fleet;

use super::site::Site;

/// The fleet whose health it is.
static FLEET: LazyLock<Fleet> = LazyLock::new(|| {
    let loaded = config::load(&Site::new(None).config());
    loaded.model.unwrap_or_else(|| panic!("{}", loaded.diagnostics)).fleet
});

/// The input is what `state/health.json` holds.
pub fn run(input: &[u8]) {
    let Ok(saved) = SavedHealth::from_json(input) else { return };
    let json = saved.to_json().unwrap();
    assert_eq!(SavedHealth::from_json(&json).as_ref(), Ok(&saved));
    for (now, unix_now) in [
        (Tick(0), saved.saved_at()),
        (Tick(5000), saved.saved_at().saturating_add(60)),
        (Tick(u64::MAX), u64::MAX),
        (Tick(5000), 0),
    ] {
        let table = HealthTable::restore(&FLEET, &saved, now, unix_now);
        assert_eq!(table.endpoints().len(), FLEET.endpoints.len());
        assert!(table.endpoints().iter().all(|health| health.since <= now));
        let again = table.save(&FLEET, now, unix_now).to_json().unwrap();
        SavedHealth::from_json(&again).unwrap();
    }
}
