//! How a client runs: telemetry, signals, and what counts as an error.

use std::io;

use chassis::args::{LogArgs, LogFormat};
use chassis::lifecycle;
use chassis::telemetry::Telemetry;

/// Runs a client to its end, or until Ctrl-C.
pub(crate) fn run(client: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
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
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
