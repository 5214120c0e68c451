//! Progress of a fetch in the log: a line where it begins and ends, and one for every tenth of the way.

use store::Progress;

const TENTHS: u64 = 10;

/// Progress that goes to the log.
#[derive(Default)]
pub(crate) struct Logged {
    name: String,
    total: u64,
    /// Number of tenths that have been reported.
    tenths: u64,
}

impl Logged {
    /// Tenth that was reached and has not been reported.
    fn due(&mut self, bytes_done: u64) -> Option<u64> {
        let tenths = (bytes_done.min(self.total) * TENTHS).checked_div(self.total)?;
        // Back to the start when another source is tried.
        let due = tenths > self.tenths;
        self.tenths = tenths;
        due.then_some(tenths)
    }
}

impl Progress for Logged {
    fn started(&mut self, name: &str, total_bytes: u64) {
        tracing::info!(model = name, bytes = total_bytes, "fetching or checking");
        *self = Self {
            name: name.to_owned(),
            total: total_bytes,
            tenths: 0,
        };
    }

    fn advanced(&mut self, bytes_done: u64) {
        if let Some(tenths) = self.due(bytes_done) {
            tracing::info!(model = self.name, percent = tenths * TENTHS, "fetching");
        }
    }

    fn source_passed_over(&mut self, source: &str, why: &str) {
        tracing::warn!(model = self.name, source, why, "source is passed over");
    }

    fn finished(&mut self) {
        tracing::info!(model = self.name, "model is in the cache");
    }

    fn waiting(&mut self) {
        tracing::info!(
            model = self.name,
            "waiting for another process that fetches it"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_once_for_every_tenth() {
        let mut logged = Logged::default();
        assert_eq!(logged.due(5), None, "the size is not known");
        logged.started("tiny", 1000);
        let due: Vec<_> = [0, 99, 100, 150, 420, 0, 100, 1000, 1000]
            .map(|at| logged.due(at))
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(due, [1, 4, 1, 10]);
    }
}
