//! `duet models`: the cache of known models, from the command line.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use indicatif::DecimalBytes;
use store::{KnownModel, ModelReference, Store};

use crate::progress;

/// Action and cache folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder that caches models [default: duet in the user's cache folder]
    #[arg(long, env = "DUET_CACHE", value_name = "FOLDER", global = true)]
    cache: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the known models.
    List {
        /// Print one JSON array instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Fetch a model into the cache and print its path.
    Pull {
        /// A known name, or hf:owner/repository/file.gguf.
        name: ModelReference,
    },
    /// Print the path of a cached model, without fetching.
    Path {
        /// A known name.
        name: String,
    },
    /// Read a cached model and compare its SHA-256.
    Verify {
        /// A known name.
        name: String,
    },
}

/// Runs `duet models`.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let store = Store::open(args.cache)?;
    let path = match args.action {
        Action::List { json } => return list(&store.list(), json),
        Action::Pull { name } => store.resolve(&name, &mut progress::Stderr::new("fetching"))?,
        Action::Path { name } => store.path(&name)?,
        Action::Verify { name } => store.verify(&name, &mut progress::Stderr::new("checking"))?,
    };
    writeln!(io::stdout().lock(), "{}", path.display())?;
    Ok(())
}

fn list(models: &[KnownModel], json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        let text = serde_json::to_string_pretty(models).context("cannot write JSON")?;
        writeln!(out, "{text}")?;
        return Ok(());
    }
    let width = models
        .iter()
        .map(|model| model.name.len())
        .max()
        .unwrap_or(0);
    for model in models {
        let cached = if model.cached { "cached" } else { "-" };
        let size = DecimalBytes(model.bytes).to_string();
        writeln!(
            out,
            "{:width$}  {size:>9}  {cached:6}  {}",
            model.name, model.description
        )?;
    }
    Ok(())
}
