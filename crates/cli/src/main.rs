//! The binary `duet`: parses the command line and runs a subcommand.

mod bench;
mod chat;
mod check_lossless;
mod check_pair;
mod command;
mod demo;
mod generate;
mod models;
mod pair;
mod progress;
mod prompts;
mod request;
mod runtime;

use std::process::ExitCode;

use chassis::exit;
use clap::Parser;

use crate::command::Command;

/// One text from two models: a small one drafts, a large one decides.
#[derive(Debug, Parser)]
#[command(name = "duet", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match exit::parse::<Cli>() {
        Ok(cli) => runtime::exit_code(cli.command.run()),
        Err(code) => code,
    }
}
