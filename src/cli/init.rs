//! `meridian init`: writes a small, commented, valid configuration.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::{Exit, Format, Output};
use crate::diagnostic::reason;

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Folder to write config/ and zones/ into; existing files are never overwritten
    dir: PathBuf,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Report {
    /// The files, in the order they were written.
    written: Vec<PathBuf>,
    /// What `check --config` and `serve --config` take.
    config: PathBuf,
}

/// The files that are written, by path below the folder.
const FILES: [(&str, &str); 4] = [
    ("config/node.toml", include_str!("init/node.toml")),
    ("config/fleet.toml", include_str!("init/fleet.toml")),
    ("zones/app.example.com.zone", include_str!("init/app.example.com.zone")),
    ("zones/app.example.com.toml", include_str!("init/app.example.com.toml")),
];

pub(super) fn run(options: &Options, output: &mut Output) -> Exit {
    let present: Vec<PathBuf> =
        FILES.iter().map(|(path, _)| options.dir.join(path)).filter(|path| path.exists()).collect();
    if !present.is_empty() {
        for path in present {
            output.trouble(format!("{}: error: the file exists already", path.display()));
        }
        output.trouble("nothing was written (name another folder, or move these files away)");
        return Exit::Usage;
    }
    let mut written = Vec::new();
    for (path, text) in FILES {
        let path = options.dir.join(path);
        if let Err(error) = write_new(&path, text) {
            let (path, why) = (path.display(), reason(&error));
            output.trouble(format!("{path}: error: cannot be written: {why}"));
            return Exit::Usage;
        }
        if options.format == Format::Text {
            output.line(format!("wrote {}", path.display()));
        }
        written.push(path);
    }
    let config = options.dir.join("config");
    match options.format {
        Format::Text => {
            output.line(format!("next: meridian check --config {}", config.display()));
        }
        Format::Json => output.json(&Report { written, config }),
    }
    Exit::Fine
}

/// Writes a file that does not exist yet, with the folders above it.
pub(super) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}
