//! System tests; see `tests/system.rs`.
