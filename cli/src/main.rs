//! The binary `duet`: reads the command line and hands over to a subcommand.

mod models;
mod progress;

use std::io::{self, Write as _};
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
    };
    match ended {
        Err(error) if !is_closed_pipe(&error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Whoever read our output has seen enough, as in `duet models list | head -1`.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
