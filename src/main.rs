//! The `meridian` command.

use std::process::ExitCode;

use clap::Parser;
use meridian::cli::{Cli, run};

fn main() -> ExitCode {
    run(&Cli::parse()).into()
}
