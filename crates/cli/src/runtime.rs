//! How a client runs: telemetry, signals, and what counts as an error.

use std::io::Write as _;
use std::process::ExitCode;
use std::{fmt, io};

use chassis::args::{LogArgs, LogFormat};
use chassis::lifecycle;
use chassis::telemetry::Telemetry;

/// What the shell is told when the command line, or a file that it names, is wrong: `EX_USAGE`.
const USAGE: u8 = 64;

/// A failure with an exit code of its own. As the context of another error it gives that one its code.
#[derive(Debug)]
pub(crate) struct Exit {
    code: u8,
    text: String,
}

impl Exit {
    /// What was looked for was found.
    pub(crate) fn found(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code: 1, text }
    }

    /// Something else went wrong, where 1 says that what was looked for was found: `EX_SOFTWARE`.
    pub(crate) fn unable(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code: 70, text }
    }

    /// What was asked for cannot be done.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code: USAGE, text }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Exit {}

/// Prints what is wrong with a command line, or what it asks for in place of a command, such as help.
pub(crate) fn not_parsed(error: &clap::Error) -> ExitCode {
    // Nothing is left to be done for a closed terminal.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
}

/// What the shell is told of how a command has ended; an error is printed, and calls for 1 unless it has a code of its own.
pub(crate) fn exit_code(ended: anyhow::Result<()>) -> ExitCode {
    match ended {
        Err(error) if !is_closed_pipe(&error) => {
            // Nothing is left to be done for a closed terminal.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            let code = error.downcast_ref::<Exit>().map_or(1, |exit| exit.code);
            ExitCode::from(code)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Runs a client to its end, or until Ctrl-C.
pub(crate) fn run(client: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    run_uninterrupted(async {
        tokio::select! {
            ended = client => ended,
            signal = lifecycle::signal() => {
                let signal = signal?;
                anyhow::bail!("stopped by {signal}")
            }
        }
    })
}

/// Runs a client to its end. Ctrl-C is its own affair.
pub(crate) fn run_uninterrupted(
    client: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let log = LogArgs {
        log_format: LogFormat::Text,
        log_level: "warn".parse()?,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let ended = runtime.block_on(async {
        let _telemetry = Telemetry::start("duet", env!("CARGO_PKG_VERSION"), &log)?;
        client.await
    });
    // To drop it would wait for whatever blocks a thread: a download, or a server that says nothing. Nobody wants that any more.
    runtime.shutdown_background();
    ended
}

/// Whoever read our output has seen enough, as in `duet models list | head -1`.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
