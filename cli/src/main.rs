//! The binary `duet`: reads the command line and hands over to a subcommand.

mod bench;
mod chat;
mod check_lossless;
mod check_pair;
mod demo;
mod generate;
mod models;
mod pair;
mod progress;
mod prompts;
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
    /// Measure what speculation brings, in turn with plain decoding.
    Bench(Box<bench::Args>),
    /// Talk with a model; both services run here unless a server is named.
    Chat(Box<chat::Args>),
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
        Err(error) => return runtime::not_parsed(&error),
    };
    runtime::exit_code(match cli.command {
        Command::Models(args) => models::run(args),
        Command::Bench(args) => runtime::run(bench::run(*args)),
        Command::Chat(args) => runtime::run_uninterrupted(chat::run(*args)),
        Command::CheckLossless(args) => runtime::run(check_lossless::run(*args)),
        Command::CheckPair(args) => runtime::run(check_pair::run(args)),
        Command::Demo(args) => runtime::run(demo::run(*args)),
        Command::Generate(args) => runtime::run(generate::run(*args)),
    })
}
