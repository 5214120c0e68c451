//! The binary `duet`: reads the command line and hands over to a subcommand.

mod demo;
mod generate;
mod models;
mod progress;
mod request;

use std::io::{self, Write as _};
use std::process::ExitCode;

use chassis::args::{LogArgs, LogFormat};
use chassis::lifecycle;
use chassis::telemetry::Telemetry;
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
        Command::Demo(args) => on_runtime(demo::run(*args)),
        Command::Generate(args) => on_runtime(generate::run(*args)),
    };
    match ended {
        Err(error) if !is_closed_pipe(&error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Runs a client to its end, or until Ctrl-C.
fn on_runtime(client: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let log = LogArgs {
        log_format: LogFormat::Text,
        log_level: "warn".parse()?,
    };
    tokio::runtime::Runtime::new()?.block_on(async {
        let _telemetry = Telemetry::start("duet", env!("CARGO_PKG_VERSION"), &log)?;
        tokio::select! {
            ended = client => ended,
            signal = lifecycle::signal() => {
                let signal = signal?;
                anyhow::bail!("stopped by {signal}")
            }
        }
    })
}

/// Whoever read our output has seen enough, as in `duet models list | head -1`.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
