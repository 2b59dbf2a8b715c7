//! Texts held to files below tests/golden; `UPDATE_GOLDEN=1` rewrites them.

use std::fs;
use std::path::Path;

/// Holds a text to the file of this name in a folder of its subject.
pub(super) fn hold(subject: &str, name: &str, found: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(subject);
    let path = folder.join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(&folder).unwrap();
        fs::write(&path, found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(&path).unwrap_or_default(), "{name}");
}
