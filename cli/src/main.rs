//! The binary `duet`: reads the command line and hands over to a subcommand.

mod demo;
mod generate;
mod models;
mod progress;
mod request;
mod runtime;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// One text from two models: a small one drafts, a large one decides.
#[derive(Debug, Parser)]
#[command(name = "duet", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run both services here and show what the drafter contributes.
    Demo(Box<demo::Args>),
    /// Ask a verifier for a reply.
    Generate(Box<generate::Args>),
    /// List, fetch, find and check models.
    Models(models::Args),
}

/// What the shell is told when the command line is wrong: `EX_USAGE`.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to be done for a closed terminal.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let ended = match cli.command {
        Command::Models(args) => models::run(args),
        Command::Demo(args) => runtime::run(demo::run(*args)),
        Command::Generate(args) => runtime::run(generate::run(*args)),
    };
    match ended {
        Err(error) if !runtime::is_closed_pipe(&error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
