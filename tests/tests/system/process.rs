//! A service as a process: its log line by line, its signals, its end. It never outlives the test.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{binaries, collector};

/// Longest wait for anything that has to happen, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A command of ours that inherits no configuration from whoever runs the tests, and sends its spans to our collector.
pub(crate) fn command(binary: &str) -> Command {
    let mut command = Command::new(binaries::path(binary));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("DUET_") || name.starts_with("OTEL_") {
            command.env_remove(name.as_ref());
        }
    }
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector::endpoint())
        .env("OTEL_BSP_SCHEDULE_DELAY", "50");
    command
}

/// A running service. It is killed when this is dropped, and also when the test's process ends without dropping it, as it does
/// with what is static.
pub(crate) struct Process {
    name: String,
    child: Child,
    /// Waits for its input to end, which it does with the test, and then kills the service.
    guard: Child,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    news: Condvar,
}

#[derive(Default)]
struct LogState {
    lines: Vec<String>,
    has_ended: bool,
}

impl Process {
    /// Starts a service with one thread that computes, on ports of the system's choice unless `args` say otherwise.
    pub(crate) fn start(binary: &str, args: &[&str]) -> Self {
        Self::spawn(binary, args, command(binary))
    }

    /// The same without spans, for tests that would flood those who look for theirs.
    pub(crate) fn start_untraced(binary: &str, args: &[&str]) -> Self {
        let mut command = command(binary);
        command.env_remove("OTEL_EXPORTER_OTLP_ENDPOINT");
        Self::spawn(binary, args, command)
    }

    fn spawn(binary: &str, args: &[&str], mut command: Command) -> Self {
        command.args(["--log-format", "json", "--threads", "1"]);
        for flag in ["--listen", "--admin-listen"] {
            if !args.contains(&flag) {
                command.args([flag, "127.0.0.1:0"]);
            }
        }
        let mut child = command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the service starts");
        let log = Arc::new(Log::default());
        let reader = BufReader::new(child.stderr.take().expect("a pipe"));
        let written = Arc::clone(&log);
        thread::spawn(move || written.follow(reader));
        let guard = Command::new("sh")
            .args(["-c", "read -r _; kill -9 \"$0\" 2>/dev/null"])
            .arg(child.id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell starts");
        Self {
            name: binary.to_owned(),
            child,
            guard,
            log,
        }
    }

    /// Address of gRPC, as `HOST:PORT`, once it is served.
    pub(crate) fn address(&self) -> String {
        let line = self.wait_for("serving", 1);
        line["address"].as_str().expect("an address").to_owned()
    }

    /// The same as clients write it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Address of metrics, as `HOST:PORT`, once they are served.
    pub(crate) fn admin_address(&self) -> String {
        let line = self.wait_for("serving metrics and probes", 1);
        line["address"].as_str().expect("an address").to_owned()
    }

    /// The line that says `message` for the `nth` time.
    pub(crate) fn wait_for(&self, message: &str, nth: usize) -> Value {
        let found = |line: &String| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["message"] == message).then_some(line)
        };
        self.log.wait(|state| {
            let line = state.lines.iter().filter_map(found).nth(nth - 1);
            let log = || state.lines.join("\n");
            assert!(
                line.is_some() || !state.has_ended,
                "{} ended before it said {message:?}:\n{}",
                self.name,
                log()
            );
            line.ok_or_else(|| format!("{} did not say {message:?}:\n{}", self.name, log()))
        })
    }

    /// Kills it with no chance to say goodbye, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a process to kill");
        self.exit();
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        let sent = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits until it has ended.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        self.log.wait(|state| {
            let running = || format!("{} has not ended:\n{}", self.name, state.lines.join("\n"));
            state.has_ended.then_some(()).ok_or_else(running)
        });
        self.child
            .wait()
            .expect("a process that was not waited for")
    }

    /// All that it has written.
    pub(crate) fn log(&self) -> String {
        self.log.wait(|state| Ok(state.lines.join("\n")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The guard first: a process that has been waited for may have passed on its id. Each may have ended already.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Log {
    fn follow(&self, reader: BufReader<ChildStderr>) {
        for line in reader.lines().map_while(Result::ok) {
            self.state.lock().unwrap().lines.push(line);
            self.news.notify_all();
        }
        self.state.lock().unwrap().has_ended = true;
        self.news.notify_all();
    }

    /// Looks at the log with each new line until there is a result; `Err` says what is missing.
    fn wait<T>(&self, look: impl Fn(&LogState) -> Result<T, String>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state.lock().unwrap();
        loop {
            let missing = match look(&state) {
                Ok(found) => return found,
                Err(missing) => missing,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{missing}");
            state = self.news.wait_timeout(state, left).unwrap().0;
        }
    }
}
