//! The seeds of the fuzz targets, and inputs that once did harm, as ordinary tests.

#![allow(clippy::unwrap_used)] // Test.

#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// Seeds that all targets have together, in octets: they are read by people.
const SEEDS_MAX: u64 = 64 << 10;

/// The files of a folder below `fuzz/`, in order.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn stems(folder: &str) -> BTreeSet<String> {
    let stem = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    files(folder).iter().map(stem).collect()
}

#[test]
fn every_target_bears_its_seeds() {
    let mut failed = Vec::new();
    for (name, run) in targets::ALL {
        for seed in files(&format!("corpus/{name}")) {
            let input = std::fs::read(&seed).unwrap();
            if catch_unwind(|| run(&input)).is_err() {
                failed.push(seed.display().to_string());
            }
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn every_target_is_listed_and_has_a_few_small_seeds() {
    let listed: BTreeSet<String> = targets::ALL.iter().map(|(name, _)| (*name).into()).collect();
    assert_eq!(stems("fuzz_targets"), listed);
    assert_eq!(stems("corpus"), listed);
    let seeds: Vec<Vec<PathBuf>> =
        listed.iter().map(|name| files(&format!("corpus/{name}"))).collect();
    assert!(seeds.iter().all(|seeds| seeds.len() >= 3), "{seeds:?}");
    let octets: u64 = seeds.iter().flatten().map(|path| path.metadata().unwrap().len()).sum();
    assert!(octets <= SEEDS_MAX, "{octets} octets");
}
