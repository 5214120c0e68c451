//! Progress of a fetch.

/// Observer of a fetch.
pub trait Progress {
    /// Fetching or checking begins; `total_bytes` is 0 where the size is not known.
    fn started(&mut self, name: &str, total_bytes: u64);
    /// `bytes_done` bytes are here; fewer than before when another source is tried.
    fn advanced(&mut self, bytes_done: u64);
    /// A source will not give the file; the next one is tried.
    fn source_passed_over(&mut self, source: &str, why: &str);
    /// The file is whole and has the right hash.
    fn finished(&mut self);
    /// Another process is fetching the same file; it is waited for.
    fn waiting(&mut self) {}
}
