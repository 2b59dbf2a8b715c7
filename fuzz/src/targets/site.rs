//! The files of a site that uses every part of the configuration.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

/// The example of the configuration tests: each file behind a line with its name.
const EXAMPLE: &str = include_str!("../../../tests/golden/config/valid_full.txt");

/// The master file beside it.
const MASTER: (&str, &str) = (
    "zones/app.example.com.zone",
    "@ 3600 SOA ns1 hostmaster 1 7200 900 1209600 300\n@ 3600 NS ns1\nns1 3600 A 192.0.2.53\n",
);

/// The geo database, a small one: the embedded one would cost most of the time.
pub const DATABASE: (&str, &[u8]) =
    ("geo.mmdb", include_bytes!("../../../tests/data/mmdb/maxmind/GeoIP2-Country-Test.mmdb"));

/// A site in a folder of its own, which goes with it.
pub struct Site {
    folder: TempDir,
}

impl Site {
    /// Writes the files, `changed` in place of one of them.
    pub fn new(changed: Option<(&str, &[u8])>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = Self { folder };
        fs::create_dir_all(site.path("config/networks")).unwrap();
        fs::create_dir(site.path("zones")).unwrap();
        for (name, text) in files() {
            let text = text.replace("databases = []", "databases = [\"../geo.mmdb\"]");
            fs::write(site.path(name), text).unwrap();
        }
        fs::write(site.path(DATABASE.0), DATABASE.1).unwrap();
        if let Some((name, text)) = changed {
            fs::write(site.path(name), text).unwrap();
        }
        site
    }

    /// The configuration folder.
    pub fn config(&self) -> PathBuf {
        self.path("config")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
    let parts = EXAMPLE.split("--- ").skip(1).filter_map(|part| part.split_once('\n'));
    parts.filter(|(name, _)| *name != "expected").chain([MASTER])
}
