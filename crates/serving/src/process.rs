//! The outside of a service's process: arguments to configuration, a runtime, an exit code, and the signal to stop.

use std::{error::Error, future::Future, process::ExitCode};

use chassis::{exit, lifecycle};
use clap::Parser;
use tokio::runtime::Runtime;

/// Parses the arguments `A`, makes a configuration of them and runs `serve` with it. The exit code is what `main` returns.
pub fn run<A, C, F>(serve: impl FnOnce(C) -> F) -> ExitCode
where
    A: Parser,
    C: TryFrom<A, Error: Error>,
    F: Future<Output = anyhow::Result<()>>,
{
    let args = match exit::parse::<A>() {
        Ok(args) => args,
        Err(code) => return code,
    };
    let config = match C::try_from(args) {
        Ok(config) => config,
        Err(error) => return exit::configuration(&error),
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit::failure(&error),
    };
    match runtime.block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::failure(error.as_ref()),
    }
}

/// Waits until the process is told to stop.
pub async fn told_to_stop() {
    match lifecycle::signal().await {
        Ok(name) => tracing::info!(name, "told to stop"),
        Err(error) => tracing::error!(%error, "cannot listen for signals"),
    }
}
