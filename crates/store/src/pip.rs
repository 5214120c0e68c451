//! pip as a downloader: wheels only, without dependencies.

use super::download::Tool;

/// Started through Python, as `python3 -m pip`.
pub(super) static PIP: Tool = Tool {
    name: "pip",
    install: "install Python 3 with pip",
    arguments: &[
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-input",
        "--no-deps",
        "--only-binary=:all:",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--progress-bar=off",
        "--retries=2",
        "--timeout=15",
        "--dest=package",
    ],
    extension: "whl",
    unreached: &[
        "NewConnectionError",
        "NameResolutionError",
        "ConnectTimeout",
    ],
    cause,
};

/// First error; pip only repeats itself after it.
fn cause(log: &str) -> Option<&str> {
    if log.contains("No module named pip") {
        return Some(
            "Python has no pip; install it (python3 -m ensurepip, or the package python3-pip)",
        );
    }
    log.lines().find(|line| line.starts_with("ERROR"))
}
