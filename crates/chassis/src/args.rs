//! Arguments that all our servers share, flattened into those of a process. Each is also an environment variable.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::Targets;

/// Ports of a server, and its grace period.
///
/// A process with another default port declares it: `#[command(mut_arg("listen", |arg| arg.default_value("127.0.0.1:50052")))]`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// Address to serve gRPC on; port 0 picks a free one
    #[arg(
        long,
        env = "DUET_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:50051"
    )]
    pub listen: SocketAddr,

    /// Address to serve /metrics, /livez and /readyz on over HTTP [default: not served]
    #[arg(long, env = "DUET_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: Option<SocketAddr>,

    /// Longest time for requests in progress to finish after SIGTERM, such as 30s or 2m
    #[arg(
        long,
        env = "DUET_GRACE_PERIOD",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = humantime::parse_duration
    )]
    pub grace_period: Duration,
}

/// Level and format of the log, which goes to standard error.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub struct LogArgs {
    /// Format of a log line
    #[arg(
        long,
        env = "DUET_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,

    /// Least severe level to log, also by target: such as info or warn,tonic=debug
    #[arg(
        long,
        env = "DUET_LOG_LEVEL",
        value_name = "LEVELS",
        default_value = "info"
    )]
    pub log_level: Targets,
}

/// Format of a log line.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    #[command(mut_arg("listen", |arg| arg.default_value("127.0.0.1:50052")))]
    struct Process {
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        log: LogArgs,
    }

    #[test]
    fn process_may_have_its_own_default_port() {
        let args = Process::try_parse_from(["process"]).unwrap();
        assert_eq!(args.server.listen.port(), 50052);
        assert_eq!(args.server.admin_listen, None);
        assert_eq!(args.server.grace_period, Duration::from_secs(30));
        assert_eq!(args.log.log_format, LogFormat::Text);
    }

    #[test]
    fn invalid_arguments_are_refused_by_name() {
        for (flag, value) in [
            ("--listen", "localhost"),
            ("--admin-listen", "9090"),
            ("--grace-period", "soon"),
            ("--log-format", "xml"),
            ("--log-level", "info,=x="),
        ] {
            let error = Process::try_parse_from(["process", flag, value])
                .err()
                .unwrap();
            assert!(error.to_string().contains(flag), "{flag}: {error}");
        }
    }
}
