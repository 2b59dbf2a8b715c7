//! docs/drills.md names what a drill file may hold, and its example is one.

use std::collections::BTreeSet;
use std::fs;

use regex::Regex;

use crate::markdown::{Document, codes, top};

#[test]
fn every_setting_of_a_drill_file_is_documented() {
    let spec = fs::read_to_string(top().join("src/config/spec/drill.rs")).unwrap();
    let table = Regex::new(r"(?s)struct (Drill|Expect|Abort)Table \{\n(.*?)\n\}").unwrap();
    let field = Regex::new(r"(?m)^    pub (\w+):").unwrap();
    let mut known = BTreeSet::new();
    for found in table.captures_iter(&spec) {
        let of = found[1].to_lowercase();
        for field in field.captures_iter(&found[2]) {
            // `for` is a word of Rust.
            known.insert((of.clone(), field[1].replace("lasts", "for")));
        }
    }
    let rows = Document::read("docs/drills.md").rows();
    let told = rows.iter().filter(|row| row.table == "of");
    let told: BTreeSet<(String, String)> =
        told.map(|row| (row.cells[0].clone(), codes(&row.cells[1])[0].to_owned())).collect();
    assert_eq!(told, known);
}

#[test]
fn the_example_of_a_drill_file_is_one() {
    let page = fs::read_to_string(top().join("docs/drills.md")).unwrap();
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drill.toml");
    fs::write(&path, example).unwrap();
    let drill = meridian::config::drill(&path, 0).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(drill.name, "lose eu-central");
    assert_eq!(drill.nodes.len(), 2);
}
