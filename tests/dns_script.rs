//! Runs every script in `tests/data/dns` through the engine.

#![allow(clippy::unwrap_used, clippy::panic)] // Test.

mod dns_support;

use dns_support::script;

#[test]
fn every_script_gets_the_replies_it_names() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/dns");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rpl"))
        .collect();
    names.sort();
    assert!(names.len() >= 6, "scripts are missing from {folder}");
    for path in names {
        let text = std::fs::read_to_string(&path).unwrap();
        script::run(&path.file_name().unwrap().to_string_lossy(), &text);
    }
}
