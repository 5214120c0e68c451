//! The binary `duet`: reads the command line and hands over to a subcommand.

mod check_lossless;
mod check_pair;
mod demo;
mod generate;
mod models;
mod pair;
mod progress;
mod request;
mod runtime;

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
    /// Hold an acceptance method against plain decoding on real models.
    CheckLossless(Box<check_lossless::Args>),
    /// Say whether two models, or two tokenizers, go together.
    CheckPair(check_pair::Args),
    /// Run both services here and show what the drafter contributes.
    Demo(Box<demo::Args>),
    /// Ask a verifier for a reply.
    Generate(Box<generate::Args>),
    /// List, fetch, find and check models.
    Models(models::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to be done for a closed terminal.
            let _ = error.print();
            let is_wrong = error.use_stderr();
            return ExitCode::from(if is_wrong { runtime::USAGE } else { 0 });
        }
    };
    runtime::exit_code(match cli.command {
        Command::Models(args) => models::run(args),
        Command::CheckLossless(args) => runtime::run(check_lossless::run(*args)),
        Command::CheckPair(args) => runtime::run(check_pair::run(args)),
        Command::Demo(args) => runtime::run(demo::run(*args)),
        Command::Generate(args) => runtime::run(generate::run(*args)),
    })
}
