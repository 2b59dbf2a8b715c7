//! Files that unit tests write.

use std::fs;
use std::path::Path;

/// A node that answers DNS in the region `us`, as `config/node.toml`.
pub(crate) const NODE: (&str, &str) =
    ("config/node.toml", "version = 1\n[node]\nname = \"a\"\nregion = \"us\"\n[dns]\n");

/// Writes texts to files below a folder.
pub(crate) fn write(top: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = top.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}
