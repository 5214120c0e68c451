//! Running a client: telemetry, signals and exit codes.

use std::process::ExitCode;
use std::{fmt, io};

use chassis::args::{LogArgs, LogFormat};
use chassis::telemetry::Telemetry;
use chassis::{exit, lifecycle};

/// A failure with its own exit code. As the context of another error it determines that error's code.
#[derive(Debug)]
pub(crate) struct Exit {
    code: u8,
    text: String,
}

impl Exit {
    /// The difference that the command looks for was found: 1.
    pub(crate) fn found(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code: 1, text }
    }

    /// Any other failure of a command for which 1 means a difference: 70, `EX_SOFTWARE`.
    pub(crate) fn unable(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code: 70, text }
    }

    /// A wrong command line, or a wrong file that it names: 64, `EX_USAGE`.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            code: exit::CONFIGURATION,
            text,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Exit {}

/// Exit code of a command. An error is printed, and its code is 1 unless it has its own.
pub(crate) fn exit_code(ended: anyhow::Result<()>) -> ExitCode {
    match ended {
        Err(error) if !is_closed_pipe(&error) => {
            let code = error.downcast_ref::<Exit>().map_or(1, |exit| exit.code);
            exit::with_code(code, error.as_ref())
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

/// Runs a client to its end. The client handles Ctrl-C itself.
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
    // Dropping the runtime would wait for blocked threads, such as a download or a silent server, whose result is not needed.
    runtime.shutdown_background();
    ended
}

/// True if the reader of our output has closed it, as in `duet models list | head -1`.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
