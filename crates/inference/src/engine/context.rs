//! Positions of a session: the model's own context, as far as memory reaches.

use std::fs;

use super::options::EngineOptions;
use crate::checkpoint::Architecture;

/// Positions that a session has in any case, if the model knows so many.
const LEAST: u64 = 8192;
/// Bytes of an element of keys and values.
const ELEMENT: u64 = 4;
/// Share of memory for the keys and values of all sessions together, were each to use its whole context: one part in this many.
const SHARE: u64 = 2;

/// Positions that a session may hold.
pub(super) fn length(architecture: &Architecture, options: &EngineOptions) -> usize {
    let limit = options.context.unwrap_or_else(|| {
        let affordable = affordable(
            position(architecture),
            options.max_sessions as u64,
            memory(),
        );
        usize::try_from(affordable).unwrap_or(usize::MAX)
    });
    architecture.context_length.min(limit)
}

/// Size of a position's keys and values in all layers, in bytes.
fn position(architecture: &Architecture) -> u64 {
    let elements = 2 * architecture.kv_heads * architecture.head_dim * architecture.layers;
    elements as u64 * ELEMENT
}

/// Positions of `position` bytes that each of `sessions` may have so that all fit a share of `memory` together.
fn affordable(position: u64, sessions: u64, memory: Option<u64>) -> u64 {
    let all = memory.unwrap_or(0) / SHARE;
    (all / sessions.max(1) / position.max(1)).max(LEAST)
}

/// Memory of the machine, or of the container, in bytes; `None` where it is not known.
fn memory() -> Option<u64> {
    let installed = fs::read_to_string("/proc/meminfo").ok()?;
    let line = installed
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    // A container without a limit says "max".
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|limit| limit.trim().parse().ok());
    Some((kilobytes << 10).min(limit.unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_is_as_long_as_memory_for_all_sessions_reaches() {
        let gigabytes = |count: u64| Some(count << 30);
        assert_eq!(affordable(24 << 10, 16, gigabytes(24)), 32_768);
        assert_eq!(affordable(24 << 10, 16, gigabytes(4)), LEAST);
        assert_eq!(affordable(24 << 10, 1, None), LEAST);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_of_this_machine_is_known() {
        assert!(memory().is_some_and(|bytes| bytes > 64 << 20));
    }
}
