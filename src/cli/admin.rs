//! `meridian admin`: makes tokens for the admin listener.

use clap::{Args, Subcommand, ValueEnum};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;

use super::{Exit, Format, Output};
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

pub(super) fn run(options: &Options, output: &mut Output) -> Exit {
    let Act::Token(options) = &options.act;
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
