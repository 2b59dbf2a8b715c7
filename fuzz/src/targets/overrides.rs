//! Any target and any saved overrides: they are refused, or decide about a fleet.

use std::sync::LazyLock;
use std::time::Duration;

use meridian::clock::Tick;
use meridian::config;
use meridian::health::Level;
use meridian::health::overrides::{SavedOverrides, Target, losses, resolve};
use meridian::model::Model;

use super::site::Site;

/// The configuration that they are about.
static MODEL: LazyLock<Model> = LazyLock::new(|| {
    let loaded = config::load(&Site::new(None).config());
    loaded.model.unwrap_or_else(|| panic!("{}", loaded.diagnostics))
});

/// The input is a target, a line feed, and what `state/overrides.json` holds.
pub fn run(input: &[u8]) {
    let model = &*MODEL;
    let at = input.iter().position(|octet| *octet == b'\n').unwrap_or(input.len());
    let (text, json) = input.split_at(at);
    if let Ok(target) = String::from_utf8_lossy(text).parse::<Target>() {
        assert_eq!(target.to_string().parse().as_ref(), Ok(&target));
        let _ = target.endpoints(&model.fleet);
    }
    let Ok(saved) = SavedOverrides::from_json(json.get(1..).unwrap_or_default()) else { return };
    let again = SavedOverrides::from_json(&saved.to_json().unwrap());
    assert_eq!(again.as_ref(), Ok(&saved));
    for (now, unix_now) in [(Tick(0), 0), (Tick(5000), 1_790_000_000), (Tick(u64::MAX), u64::MAX)] {
        let mut set = saved.clone().restore(now, unix_now);
        assert!(set.next_end().is_none_or(|end| end >= now));
        let forced = resolve(set.overrides(), &model.fleet);
        assert_eq!(forced.len(), model.fleet.endpoints.len());
        losses(model, |_| Level::Up, &forced);
        SavedOverrides::from_json(&SavedOverrides::of(&set, now, unix_now).to_json().unwrap())
            .unwrap();
        set.expire(now + Duration::MAX);
        assert!(set.entries().iter().all(|entry| entry.ends.is_none()));
    }
}
