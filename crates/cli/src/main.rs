//! The binary `duet`: reads the command line and hands over to a subcommand.

mod bench;
mod chat;
mod check_lossless;
mod check_pair;
mod command;
mod demo;
mod dice;
mod generate;
mod models;
mod pair;
mod progress;
mod prompts;
mod request;
mod runtime;

use std::process::ExitCode;

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
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return runtime::not_parsed(&error),
    };
    runtime::exit_code(cli.command.run())
}
