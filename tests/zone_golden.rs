//! Broken zones and the exact diagnostics they give.
//!
//! Each `tests/golden/zone/CASE.zone` is loaded as the zone `example.com.`; what is said stands in
//! `CASE.expected`. `UPDATE_GOLDEN=1` writes the expectations anew; read every line of the change.

#![allow(clippy::unwrap_used)] // Only functions of tests, but not all are marked as such.

use std::path::{Path, PathBuf};

use meridian::name::Name;
use meridian::zone;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/zone");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "zone"))
        .collect();
    cases.sort();
    cases
}

fn said(path: &Path) -> String {
    let origin = Name::parse("example.com.", &Name::root()).unwrap();
    let shown = path.file_name().unwrap().to_str().unwrap();
    let (_, _, diagnostics) = zone::load(&origin, path, shown, &[]);
    diagnostics.to_string()
}

#[test]
fn every_broken_zone_gives_its_exact_diagnostics() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for path in cases() {
        let said = said(&path);
        let expected = path.with_extension("expected");
        if update {
            std::fs::write(&expected, said).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{}:\n{said}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases().len() >= 40);
}

#[test]
fn diagnostics_are_the_same_from_memory() {
    for path in cases() {
        let shown = path.file_name().unwrap().to_str().unwrap();
        let folder = path.parent().unwrap();
        let text = std::fs::read(&path).unwrap();
        let origin = Name::parse("example.com.", &Name::root()).unwrap();
        let mut open = |file: &Path| std::fs::read(folder.join(file));
        let (_, _, diagnostics) = zone::load_from(&origin, shown, &text, &[], &mut open);
        let (memory, disk) = (diagnostics.to_string(), said(&path));
        // What the system says about a folder read as a file differs.
        let same = |text: &str| -> Vec<String> {
            text.lines()
                .filter(|line| !line.contains("cannot be read"))
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(same(&memory), same(&disk), "{}", path.display());
    }
}
