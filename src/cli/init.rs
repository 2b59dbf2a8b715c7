//! `meridian init`: writes a small, commented, valid configuration.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, Output};

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Folder to write config/ and zones/ into; existing files are never overwritten
    dir: PathBuf,
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
    for (path, text) in FILES {
        let path = options.dir.join(path);
        if let Err(error) = write_new(&path, text) {
            output.trouble(format!("{}: error: cannot write: {error}", path.display()));
            return Exit::Usage;
        }
        output.line(format!("wrote {}", path.display()));
    }
    let config = options.dir.join("config");
    output.line(format!("next: meridian check --config {}", config.display()));
    Exit::Fine
}

/// Writes a file that does not exist yet, with the folders above it.
pub(super) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}
