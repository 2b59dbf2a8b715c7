//! `meridian completions`: what a shell completes, from the same definitions as the commands.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Cli, Exit, Output};

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(options: &Options, output: &mut Output) -> Exit {
    let mut text = Vec::new();
    generate(options.shell, &mut Cli::command(), "meridian", &mut text);
    output.part(&String::from_utf8_lossy(&text));
    Exit::Fine
}
