//! `meridian admin`: makes tokens for the admin listener, and checks the log of what they did.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;

use super::{Config, Exit, Format, Output};
use crate::admin::{AuditFile, Broken, examine_audit};
use crate::config;
use crate::diagnostic::{count, reason};
use crate::model::token_digest;

/// Arguments of `admin`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Make a token and what belongs in tokens.toml; the token is shown this once
    #[command(after_help = "Examples:\n  meridian admin token alice --role operate\n  \
                            meridian admin token prometheus --role read --format json")]
    Token(TokenOptions),
    /// Check that nobody has changed the audit log of a node, on the node's own machine
    #[command(after_help = "Examples:\n  meridian admin audit --config config\n  \
                            meridian admin audit --state /var/lib/meridian --format json")]
    Audit(AuditOptions),
}

#[derive(Debug, Args)]
struct AuditOptions {
    #[command(flatten)]
    config: Config,
    /// The state folder, instead of that of the configuration
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    state: Option<PathBuf>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Args)]
struct TokenOptions {
    /// Whose it is: 1 to 63 characters of a-z, 0-9, `-` and `_`
    name: String,
    /// What they may do
    #[arg(long, value_enum)]
    role: RoleWord,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A role as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum RoleWord {
    /// Look at everything
    Read,
    /// Change what can be changed
    Operate,
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Made<'a> {
    name: &'a str,
    role: RoleWord,
    token: String,
    hash: String,
}

/// What `--format json` prints of an audit log.
#[derive(Serialize)]
struct Chain {
    /// Whether nothing is wrong with any file.
    whole: bool,
    /// The one that is written, then each that the one before goes on from.
    files: Vec<AuditFile>,
}

pub(super) fn run(options: &Options, output: &mut Output) -> Exit {
    match &options.act {
        Act::Token(options) => token(options, output),
        Act::Audit(options) => audit(options, output),
    }
}

fn audit(options: &AuditOptions, output: &mut Output) -> Exit {
    let state = if let Some(state) = &options.state {
        state.clone()
    } else {
        let loaded = config::load(&options.config.config);
        match loaded.model {
            Some(model) if !loaded.diagnostics.has_errors() => model.node.state,
            Some(_) | None => {
                output.diagnostics(&loaded.diagnostics);
                return Exit::Usage;
            }
        }
    };
    let files = match examine_audit(&state) {
        Ok(files) => files,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            let (state, why) = (state.display(), reason(&error));
            output.trouble(format!("error: the audit log in `{state}` cannot be read: {why}"));
            return Exit::Failed;
        }
    };
    let whole = files.iter().all(|file| file.broken.is_none());
    match options.format {
        Format::Json => output.json(&Chain { whole, files }),
        Format::Text => describe(&files, &state, output),
    }
    if whole { Exit::Fine } else { Exit::Failed }
}

/// Says of each file what is in it, and of the first what to keep.
fn describe(files: &[AuditFile], state: &Path, output: &mut Output) {
    for AuditFile { file, lines, broken, .. } in files {
        let (file, lines) = (file.display(), count(*lines as usize, "line"));
        match broken {
            None => output.line(format!("{file}: {lines}, as they were written")),
            Some(Broken { line: 0, why }) => output.trouble(format!("{file}: error: {why}")),
            Some(Broken { line, why }) => output.trouble(format!("{file}:{line}: error: {why}")),
        }
    }
    let (Some(newest), Some(oldest)) = (files.first(), files.last()) else {
        output.line(format!("there is no audit log in {}: nothing was written", state.display()));
        return;
    };
    if !oldest.follows.is_empty() {
        output.line(format!("what came before is not here: it ends with {}", oldest.follows));
    }
    output.line(format!("the last digest is {}", newest.last));
}

fn token(options: &TokenOptions, output: &mut Output) -> Exit {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let name = options.name.as_str();
    if !(1..=63).contains(&name.len()) || !name.chars().all(plain) {
        let hint = "1 to 63 characters of a-z, 0-9, `-` and `_`";
        output.trouble(format!("error: `{name}` is not a valid name ({hint})"));
        return Exit::Usage;
    }
    let mut secret = [0; 32];
    if SystemRandom::new().fill(&mut secret).is_err() {
        output.trouble("error: the system has no random numbers");
        return Exit::Failed;
    }
    // The prefix lets scanners of repositories find a token that was committed.
    let token = format!("mrd_{}", BASE64URL_NOPAD.encode(&secret));
    let hash = format!("sha256:{}", HEXLOWER.encode(&token_digest(&token)));
    let made = Made { name, role: options.role, token, hash };
    match options.format {
        Format::Json => output.json(&made),
        Format::Text => {
            let role = if made.role == RoleWord::Read { "read" } else { "operate" };
            let Made { token, hash, .. } = &made;
            output.line(format!("{token}\n"));
            output.line("This token is shown once and kept nowhere. Put this into tokens.toml:\n");
            output.line(format!("[token.{name}]\nrole = \"{role}\"\nhash = \"{hash}\""));
        }
    }
    Exit::Fine
}
