//! Exit of a process on an error: a message on standard error and an exit code. `main` returns the code, so that telemetry is
//! flushed before.

use std::{error::Error, io, process::ExitCode};

use clap::Parser;

/// Exit code for a configuration that cannot be used (`EX_USAGE` of sysexits). No port has been bound by then.
pub const CONFIGURATION: u8 = 64;

/// Parses the command line and the environment. On `Err` the message has been printed and `main` returns the code: success for
/// help and version, [`CONFIGURATION`] for anything else.
pub fn parse<A: Parser>() -> Result<A, ExitCode> {
    A::try_parse().map_err(|error| {
        // A closed standard error leaves nowhere to report to.
        drop(error.print());
        usage(&error)
    })
}

/// Reports a configuration that parses but cannot be used.
pub fn configuration(error: &dyn Error) -> ExitCode {
    with_code(CONFIGURATION, error)
}

/// Reports any other error that ends the process.
pub fn failure(error: &dyn Error) -> ExitCode {
    with_code(1, error)
}

/// Reports an error, with its causes, that ends the process with this exit code.
pub fn with_code(code: u8, error: &dyn Error) -> ExitCode {
    report(&mut io::stderr(), error);
    ExitCode::from(code)
}

fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        ExitCode::from(CONFIGURATION)
    } else {
        ExitCode::SUCCESS
    }
}

fn report(to: &mut impl io::Write, error: &dyn Error) {
    let mut text = format!("error: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    // A closed standard error leaves nowhere to report to.
    drop(writeln!(to, "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the model")]
    struct Outer(#[source] io::Error);

    #[derive(clap::Parser)]
    struct Process {
        #[arg(long)]
        threads: u32,
    }

    #[test]
    fn report_gives_the_chain_of_causes_on_one_line() {
        let mut text = Vec::new();
        report(&mut text, &Outer(io::Error::other("no such file")));
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "error: cannot read the model: no such file\n"
        );
    }

    #[test]
    fn bad_arguments_exit_with_64_and_help_with_0() {
        let code = |args: &[&str]| {
            let error = Process::try_parse_from(args)
                .map(|process| process.threads)
                .unwrap_err();
            format!("{:?}", usage(&error))
        };
        assert_eq!(
            code(&["process", "--threads", "x"]),
            format!("{:?}", ExitCode::from(64))
        );
        assert_eq!(
            code(&["process", "--help"]),
            format!("{:?}", ExitCode::SUCCESS)
        );
    }
}
