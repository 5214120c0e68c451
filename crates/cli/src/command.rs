//! The subcommands of `duet`.

use clap::Subcommand;

use crate::{bench, chat, check_lossless, check_pair, demo, generate, models, runtime};

/// Subcommands of `duet`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure the speed-up of speculation over plain decoding, by turns.
    Bench(Box<bench::Args>),
    /// Talk with a model; both services run here unless a server is named.
    Chat(Box<chat::Args>),
    /// Compare an acceptance method with plain decoding on real models.
    CheckLossless(Box<check_lossless::Args>),
    /// Report whether two models, or two tokenizers, fit together.
    CheckPair(check_pair::Args),
    /// Run both services here and show the drafter's contribution.
    Demo(Box<demo::Args>),
    /// Ask a verifier for a reply.
    Generate(Box<generate::Args>),
    /// List, fetch, find and check models.
    Models(models::Args),
}

impl Command {
    /// Runs the subcommand to its end.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Models(args) => models::run(args),
            Self::Bench(args) => runtime::run(bench::run(*args)),
            Self::Chat(args) => runtime::run_uninterrupted(chat::run(*args)),
            Self::CheckLossless(args) => runtime::run(check_lossless::run(*args)),
            Self::CheckPair(args) => runtime::run(check_pair::run(args)),
            Self::Demo(args) => runtime::run(demo::run(*args)),
            Self::Generate(args) => runtime::run(generate::run(*args)),
        }
    }
}
