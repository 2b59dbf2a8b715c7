//! The configurations that the documents show are loaded without a mistake.

use std::fs;
use std::path::Path;

use meridian::diagnostic::Severity;
use meridian::snapshot::load;
use tempfile::TempDir;

use crate::markdown::{Document, codes, top};
use crate::support::certificates;

/// Files of the documents' own that the examples need: where, and which of the project's.
const NEEDED: [(&str, &str); 3] = [
    ("zones/app.example.com.zone", "src/cli/init/app.example.com.zone"),
    ("var/lib/geoip/city.mmdb", "geoip/country.mmdb"),
    ("var/lib/geoip/asn.mmdb", "geoip/country.mmdb"),
];

/// The TOML files of a document: each block belongs to the file that the text before it names last.
fn files(document: &Document) -> Vec<(String, String)> {
    let blocks = document.blocks().into_iter().filter(|block| block.language == "toml");
    let mut files: Vec<(String, String)> = Vec::new();
    for block in blocks {
        let mut words = block.before.split([' ', '\n', '`', ':', ',']);
        let name = words.rfind(|word| Path::new(word).extension() == Some("toml".as_ref()));
        let name = name.unwrap_or_else(|| panic!("{}: which file?\n{}", document.path, block.code));
        let folder = if name.contains('/') { "" } else { "config/" };
        let path = format!("{folder}{name}");
        match files.iter_mut().find(|(known, _)| *known == path) {
            Some((_, text)) => text.push_str(&block.code),
            None => files.push((path, block.code)),
        }
    }
    files
}

#[test]
fn the_examples_of_the_documents_load_without_a_mistake() {
    for path in ["README.md", "docs/configuration.md"] {
        let document = Document::read(path);
        let folder = TempDir::new().unwrap();
        let here = folder.path().display().to_string();
        let files = files(&document);
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        let wanted = ["config/node.toml", "config/fleet.toml", "zones/app.example.com.toml"];
        assert_eq!(names, wanted, "{path}");
        let (chain, key) = certificates::pem();
        for name in ["dns", "node"] {
            write(&folder, &format!("tls/{name}.pem"), chain.as_bytes());
            write(&folder, &format!("tls/{name}.key"), key.as_bytes());
        }
        write(&folder, "tls/ca.pem", certificates::authority().as_bytes());
        write(&folder, "config/cookies.key", b"e5e973e5a6b2a43f48e7dc849e37bfcf\n");
        for (name, own) in NEEDED {
            write(&folder, name, &fs::read(top().join(own)).unwrap());
        }
        for (name, text) in &files {
            // Paths of an installed system, below a folder of the test.
            let text = text.replace("\"/etc/meridian", &format!("\"{here}"));
            write(&folder, name, text.replace("\"/var", &format!("\"{here}/var")).as_bytes());
        }
        let loaded = load(&folder.path().join("config"), None);
        let loaded = loaded.unwrap_or_else(|mistakes| panic!("{path}:\n{mistakes}"));
        assert_eq!(loaded.zones.len(), 1, "{path}");
        for found in loaded.diagnostics.sorted() {
            // The embedded database, which stands in for others here, may be old.
            let old = found.what.contains("days old");
            assert!(found.severity == Severity::Warning && old, "{path}: {found}");
        }
    }
}

#[test]
fn the_tree_of_files_names_the_files_of_the_examples() {
    let document = Document::read("docs/configuration.md");
    let tree = document.blocks().into_iter().find(|block| block.language == "text").unwrap();
    for (name, _) in files(&document) {
        assert!(tree.code.lines().any(|line| line.starts_with(&name)), "{name}");
    }
    let methods: Vec<String> = Document::read("README.md")
        .rows()
        .iter()
        .filter(|row| row.table == "method")
        .map(|row| codes(&row.cells[0])[0].to_owned())
        .collect();
    let keys = crate::keys::documented();
    let key = keys.iter().find(|key| key.path.ends_with("policy[].method")).unwrap();
    assert_eq!(codes(&key.range), methods, "docs/configuration.md and README.md");
}

fn write(folder: &TempDir, path: &str, content: &[u8]) {
    let path = folder.path().join(path);
    fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).unwrap();
    fs::write(path, content).unwrap();
}
