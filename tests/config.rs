//! Configurations and exactly what is said of them: each file in `golden/config` holds the files
//! of one configuration and the findings. `UPDATE_GOLDEN=1` rewrites the findings.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use meridian::config::{self, Loaded};

/// Separates the files of a case: `--- config/node.toml`, `--- absent: PATH`, `--- expected`.
const MARK: &str = "--- ";

/// One golden file.
struct Case {
    path: PathBuf,
    /// What comes before the expected findings, as written.
    input: String,
    files: BTreeMap<String, String>,
    absent: Vec<String>,
    expected: String,
}

impl Case {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let (input, expected) = text.split_once("--- expected\n").unwrap_or((&text, ""));
        let mut case = Self {
            path: path.to_owned(),
            input: input.to_owned(),
            files: BTreeMap::new(),
            absent: Vec::new(),
            expected: expected.to_owned(),
        };
        let mut file = None;
        for line in input.split_inclusive('\n') {
            if let Some(absent) = line.strip_prefix("--- absent: ") {
                case.absent.push(absent.trim().to_owned());
            } else if let Some(name) = line.strip_prefix(MARK) {
                file = Some(name.trim().to_owned());
                case.files.insert(name.trim().to_owned(), String::new());
            } else if let Some(content) = file.as_ref().and_then(|name| case.files.get_mut(name)) {
                content.push_str(line);
            }
        }
        case
    }

    /// Writes the files, those of `base` where the case has none of its own.
    fn lay_out(&self, base: &Case, folder: &Path) {
        for (name, content) in base.files.iter().chain(&self.files) {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        for name in &self.absent {
            std::fs::remove_file(folder.join(name)).unwrap();
        }
    }
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config")
}

/// All cases, in order, and the one that the others differ from.
fn cases() -> (Case, Vec<Case>) {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let base = Case::read(&golden().join("valid_base.txt"));
    (base, paths.iter().map(|path| Case::read(path)).collect())
}

/// The findings as printed, with paths as seen from the folder.
fn shown(loaded: &Loaded, folder: &Path) -> String {
    let (errors, warnings) = loaded.diagnostics.counts();
    let mut text = loaded.diagnostics.to_string();
    writeln!(text, "{errors} errors, {warnings} warnings").unwrap();
    text.replace(&format!("{}/", folder.display()), "")
}

#[test]
fn each_golden_configuration_gets_exactly_its_findings() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let (base, cases) = cases();
    let mut wrong = Vec::new();
    for case in &cases {
        let folder = tempfile::tempdir().unwrap();
        case.lay_out(&base, folder.path());
        let loaded = config::load(&folder.path().join("config"));
        let name = case.path.file_stem().unwrap().to_string_lossy().into_owned();
        assert_eq!(loaded.model.is_some(), !loaded.diagnostics.has_errors(), "{name}");
        assert_eq!(loaded.model.is_some(), name.starts_with("valid_"), "{name}: the name says so");
        let found = shown(&loaded, folder.path());
        if update {
            std::fs::write(&case.path, format!("{}--- expected\n{found}", case.input)).unwrap();
        } else if found != case.expected {
            wrong.push(format!("{name}:\nexpected\n{}found\n{found}", case.expected));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() >= 100, "{} cases", cases.len());
}
