//! deploy/man is what the commands say of themselves; `UPDATE_GOLDEN=1` writes it.

use std::collections::BTreeMap;
use std::fs;

use clap::CommandFactory;

use crate::markdown::top;
use crate::support::meridian::command;

/// The pages by file name: one for each command, and one for each part of it.
fn pages() -> BTreeMap<String, String> {
    fn add(command: &clap::Command, name: &str, pages: &mut BTreeMap<String, String>) {
        let mut page = Vec::new();
        clap_mangen::Man::new(command.clone()).render(&mut page).unwrap();
        pages.insert(format!("{name}.1"), String::from_utf8(page).unwrap());
        let parts = command.get_subcommands().filter(|part| part.get_name() != "help");
        for part in parts {
            add(part, &format!("{name}-{}", part.get_name()), pages);
        }
    }
    let mut pages = BTreeMap::new();
    let mut cli = meridian::cli::Cli::command().disable_help_subcommand(true);
    cli.build();
    add(&cli, "meridian", &mut pages);
    pages
}

#[test]
fn the_manual_pages_are_current() {
    let folder = top().join("deploy/man");
    let pages = pages();
    assert!(pages.contains_key("meridian-force-down.1"), "{:?}", pages.keys());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, page) in &pages {
            fs::write(folder.join(name), page).unwrap();
        }
    }
    let found = fs::read_dir(&folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).unwrap())
    });
    let found: BTreeMap<String, String> = found.collect();
    assert!(found == pages, "write them with UPDATE_GOLDEN=1 cargo nextest run --test docs");
}

#[test]
fn each_shell_gets_its_completions() {
    for (shell, part) in [
        ("bash", "complete -F _meridian"),
        ("zsh", "#compdef meridian"),
        ("fish", "complete -c meridian"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let output = command().args(["completions", shell]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains(part), "{shell}");
        assert!(text.contains("force") && text.contains("explain"), "{shell}");
    }
    let output = command().args(["completions", "tcsh"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
