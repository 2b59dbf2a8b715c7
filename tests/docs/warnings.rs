//! The documented warnings are those that are given.

use std::collections::BTreeSet;
use std::fs;

use meridian::snapshot::load;
use regex::Regex;
use tempfile::TempDir;

use crate::markdown::{Document, codes, top};

/// The warnings of all golden files, which hold each that there is, without place and hint.
fn golden() -> BTreeSet<String> {
    let warning = Regex::new(r"(?m)^\S+ warning: (.*)$").unwrap();
    let mut found = BTreeSet::new();
    for folder in ["tests/golden/config", "tests/golden/zone"] {
        for entry in fs::read_dir(top().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let text = fs::read(path).unwrap();
            let text = String::from_utf8_lossy(&text);
            found.extend(warning.captures_iter(&text).map(|line| line[1].to_owned()));
        }
    }
    found
}

/// The warning about an old database, which depends on the day.
fn old_database() -> String {
    let folder = TempDir::new().unwrap();
    let database = top().join("geoip/country.mmdb");
    let node = format!(
        "version = 1\n[node]\nname = \"a\"\nregion = \"eu\"\n\
         [geo]\ndatabases = [\"{}\"]\nmax_age = \"1d\"\n",
        database.display()
    );
    let fleet = "version = 1\n[region.eu]\nlocation = \"DE\"\n";
    for (name, text) in [("node.toml", node.as_str()), ("fleet.toml", fleet)] {
        fs::create_dir_all(folder.path().join("config")).unwrap();
        fs::write(folder.path().join("config").join(name), text).unwrap();
    }
    let loaded = load(&folder.path().join("config"), None).unwrap();
    let old = loaded.diagnostics.sorted().into_iter().find(|found| found.what.contains("old"));
    old.expect("a warning").what.clone()
}

#[test]
fn every_warning_is_documented_and_no_other() {
    let rows = Document::read("docs/configuration.md").rows();
    let rows = rows.iter().filter(|row| row.table == "warning");
    let documented: Vec<(String, Regex)> = rows
        .map(|row| {
            let pattern = codes(&row.cells[0])[0];
            let parts: Vec<String> = pattern.split('…').map(regex::escape).collect();
            let whole = format!(r"^{}( \(|$)", parts.join(".+"));
            (pattern.to_owned(), Regex::new(&whole).unwrap())
        })
        .collect();
    let mut given = golden();
    given.insert(old_database());
    for warning in &given {
        let known = documented.iter().any(|(_, regex)| regex.is_match(warning));
        assert!(known, "not documented: {warning}");
    }
    for (pattern, regex) in &documented {
        let real = given.iter().any(|warning| regex.is_match(warning));
        assert!(real, "never given: {pattern}");
    }
}
