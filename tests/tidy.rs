//! Holds the project's rules of style: sizes, module docs, import direction, panics, clocks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // This is a test.

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use rules::{Finding, LAYERS, RULES, left_over_in};
use source::File;

/// Folders that hold Rust code of the project.
const CODE: &[&str] = &["src", "tests", "benches", "fuzz"];
/// Folders whose texts are not the project's own words.
const FOREIGN: &[&str] = &["target", "geoip", "data", "state", "corpus", "artifacts"];
/// Kinds of text files, beside Rust, in which nothing must be left over; "" is a script.
const TEXTS: &[&str] = &["", "md", "toml", "zone", "service", "sh", "yml", "yaml", "conf"];

#[test]
fn the_project_keeps_its_rules() {
    let mut files: Vec<File> = Vec::new();
    for path in CODE.iter().flat_map(|folder| walk(folder)).filter(|path| extension(path) == "rs") {
        files.push(File::new(&path, &read(&path)));
    }
    assert!(files.len() > 10, "the sources are not where they are looked for");
    mark_test_files(&mut files);
    let mut report = String::new();
    for file in &files {
        for (name, rule) in RULES {
            for (line, what) in rule(file) {
                writeln!(report, "{}:{line}: {name}: {what}", file.path).unwrap();
            }
        }
    }
    for path in walk(".").iter().filter(|path| is_text(path)) {
        for (line, what) in left_over_in(&read(path)) {
            writeln!(report, "{path}:{line}: left over: {what}").unwrap();
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

/// Marks the files that are modules declared with `#[cfg(test)]`.
fn mark_test_files(files: &mut [File]) {
    let mut test_only = BTreeSet::new();
    for file in files.iter() {
        let stem = file.path.trim_end_matches(".rs");
        let folder = match stem.rsplit_once('/') {
            Some((folder, "mod" | "lib" | "main")) => folder,
            _ => stem,
        };
        test_only.extend(file.test_files().iter().map(|name| format!("{folder}/{name}")));
    }
    for file in files {
        let stem = file.path.trim_end_matches(".rs");
        file.test_only |= test_only
            .iter()
            .any(|module| stem == module || stem.starts_with(&format!("{module}/")));
    }
}

fn is_text(path: &str) -> bool {
    TEXTS.contains(&extension(path).as_str())
}

fn extension(path: &str) -> String {
    Path::new(path).extension().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &str) -> String {
    let bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// All files below a folder of the project, hidden and foreign folders left out.
fn walk(folder: &str) -> Vec<String> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)) else {
        return files;
    };
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if folder == "." { name.clone() } else { format!("{folder}/{name}") };
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && !FOREIGN.contains(&name.as_str()) {
                files.extend(walk(&path));
            }
        } else if !name.starts_with('.') {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// What the rule of this name finds in a file.
fn found(rule: &str, path: &str, text: &str) -> Vec<Finding> {
    let (_, check) = RULES.iter().find(|(name, _)| *name == rule).unwrap();
    check(&File::new(path, text))
}

#[test]
fn every_rule_can_fail_and_can_hold() {
    let long_file = "//! X.\n".repeat(501);
    let fits = format!("fn f() {{\n{}}}\n", "    x();\n".repeat(68));
    let long = format!("fn f() {{\n{}}}\n", "    \"}\"; // }\n".repeat(69));
    let wide = format!("// {}", "ä".repeat(98));
    let mark = format!("// {} later", concat!("TO", "DO"));
    let home = format!("const A: &str = \"{}\";", concat!("/ho", "me/x"));
    let cases: &[(&str, &str, &str, usize)] = &[
        ("file length", "src/clock.rs", &long_file, 1),
        ("file length", "src/clock.rs", &long_file[7..], 0),
        ("function length", "src/clock.rs", &fits, 0),
        ("function length", "src/clock.rs", &long, 1),
        ("columns", "src/clock.rs", &wide, 1),
        ("columns", "src/clock.rs", &wide[..wide.len() - 2], 0),
        ("module doc", "src/clock.rs", "//! The clock.\n", 0),
        ("module doc", "src/clock.rs", "// The clock.\n", 1),
        ("panics", "src/clock.rs", "fn f() { x.unwrap(); y.expect(\"z\"); panic!(\"\"); }", 3),
        ("panics", "src/clock.rs", "fn f() { x.unwrap_or(1); s = \".unwrap()\"; } // panic!()", 0),
        ("panics", "src/clock.rs", "#[cfg(test)]\nmod tests { fn f() { x.unwrap(); } }", 0),
        ("panics", "src/clock.rs", "#[cfg(test)]\nmod a {}\nmod b { fn f() { x.unwrap(); } }", 1),
        ("panics", "tests/a.rs", "fn f() { x.unwrap(); }", 0),
        ("clock", "src/name.rs", "fn f() { Instant::now(); std::time::SystemTime::now(); }", 2),
        ("clock", "src/name.rs", "fn f() { tokio::time::Instant::now(); }", 0),
        ("clock", "src/clock.rs", "fn f() { Instant::now(); }", 0),
        ("unsafe", "src/name.rs", "fn f() { unsafe { g() } }", 1),
        ("unsafe", "src/name.rs", "#![deny(unsafe_code)] // unsafe", 0),
        ("unsafe", "src/dns/socket.rs", "fn f() { unsafe { g() } }", 0),
        ("unsafe", "src/dns/xdp/memory.rs", "fn f() { unsafe { g() } }", 0),
        ("unsafe", "src/dns/xdp/port.rs", "fn f() { unsafe { g() } }", 1),
        ("reasons", "src/name.rs", "#[ignore]\nfn f() {}", 1),
        ("reasons", "src/name.rs", "#[ignore = \"needs a network\"]\nfn f() {}", 0),
        ("reasons", "src/name.rs", "#[allow(dead_code)]\nfn f() {}", 1),
        ("reasons", "src/name.rs", "/// Doc.\n#[allow(dead_code)]\nfn f() {}", 1),
        ("reasons", "src/name.rs", "#[allow(dead_code)] // Read by C.\nfn f() {}", 0),
        ("reasons", "src/name.rs", "// Read by C.\n#![allow(dead_code)]\nfn f() {}", 0),
        ("reasons", "src/name.rs", "#[expect(dead_code, reason = \"read by C\")]\nfn f() {}", 0),
        ("left over", "src/name.rs", &mark, 1),
        ("left over", "src/name.rs", "// A TODOS list, an XXXX.", 0),
        ("left over", "src/name.rs", &home, 1),
    ];
    for (rule, path, text, expected) in cases {
        let found = found(rule, path, text);
        assert_eq!(found.len(), *expected, "{rule} in {path}: {text:.80}: {found:?}");
    }
    for (rule, _) in RULES.iter().filter(|(rule, _)| *rule != "imports") {
        let fails = |case: &&(&str, &str, &str, usize)| case.0 == *rule && case.3 > 0;
        assert!(cases.iter().find(fails).is_some(), "no case makes {rule} fail");
    }
}

#[test]
fn imports_point_down_and_never_sideways() {
    for (path, text, expected) in [
        ("src/dns/engine.rs", "use crate::snapshot::Snapshot;", 0),
        ("src/snapshot/mod.rs", "use crate::dns::Engine;", 1),
        ("src/zone/mod.rs", "use crate::{name::Name, geo::{Table, x}, config};", 2),
        ("src/zone/mod.rs", "pub(crate) fn f() { crate::zone::tree::g(); }", 0),
        ("src/zone/tree.rs", "fn f() { super::super::geo::g(); }", 1),
        ("src/zone/tree.rs", "use super::records::Records; use super::super::name::Name;", 0),
        ("src/zone.rs", "mod a { fn f() { super::super::geo::g(); } fn g() { super::f(); } }", 1),
        ("src/name.rs", "#[cfg(test)]\nmod tests { use super::*; use crate::model::Model; }", 1),
        ("src/name.rs", "// crate::model\nconst A: &str = \"crate::model\";", 0),
        ("src/main.rs", "use meridian::cli;", 0),
        ("src/model/mod.rs", "use meridian::cli;", 1),
        ("src/model/mod.rs", "use crate::*;", 1),
        ("src/manager.rs", "fn f() {}", 1),
        ("tests/a.rs", "use meridian::cli;", 0),
    ] {
        let found = found("imports", path, text);
        assert_eq!(found.len(), expected, "{path}: {text}: {found:?}");
    }
    let all: Vec<&str> = LAYERS.iter().flat_map(|layer| layer.iter().copied()).collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "a module has one layer");
}

#[test]
fn code_is_told_from_comments_and_literals() {
    for (text, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"f("a\"b", 'c')"#, r#"f("    ", ' ')"#),
        (r##"r#"a"b"# + br"c" + r#type"##, r#"r      # + br  " + r#type"#),
        ("fn f<'a>(x: &'a str) { '}' }", "fn f<'a>(x: &'a str) { ' ' }"),
        (r"['\'', '\\', 'ä', '\u{7d}']", r"['  ', '  ', '  ', '      ']"),
        ("for r in bar\"}\"", "for r in bar\" \""),
    ] {
        assert_eq!(File::new("src/name.rs", text).code, code, "{text}");
    }
}

#[test]
fn functions_are_measured_to_their_closing_brace() {
    let text = "trait T { fn a(&self); fn b() -> [u8; 2] { [1, 2] } }\n\
                type F = fn(u8) -> u8;\nfn c<const N: usize>(f: fn(u8)) where T: Sized {\n}\n\
                async fn d() -> Result<A<u8>, B> {\n}\n";
    let file = File::new("src/name.rs", text);
    let names: Vec<&str> = file.functions().iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["b", "c", "d"]);
}

#[test]
fn modules_in_files_of_their_own_count_as_tests_when_declared_so() {
    let mut files = vec![
        File::new("src/dns/mod.rs", "#[cfg(test)]\nmod check;\nmod wire;"),
        File::new("src/dns/check.rs", ""),
        File::new("src/dns/wire.rs", "#[cfg(test)]\nmod tests;"),
        File::new("src/dns/wire/tests.rs", ""),
    ];
    mark_test_files(&mut files);
    let marked: Vec<bool> = files.iter().map(|file| file.test_only).collect();
    assert_eq!(marked, [false, true, false, true]);
}
