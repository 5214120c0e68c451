//! The HTTP port under clients that are slow or exceed a limit, in both versions of HTTP.

mod one;
mod port;
mod two;
