//! Gather window: for how long the next pass waits for sessions that shared the last one.
//!
//! Sessions that shared a pass are answered together and return one after another. A pass that began with the first of them
//! would leave the others out, and they would wait for all of it: from then on, passes of one session and of all others would
//! alternate, though a pass of all costs little more than either. So a session that returned soon the last time is waited for,
//! for a small part of a pass's time. Sessions that take long between their commands are not waited for.

use std::time::{Duration, Instant};

/// Divisor of the last pass's time that gives the longest window.
const PART: u32 = 10;

/// Longest window after a pass that took `last_pass`.
pub(super) fn patience(last_pass: Duration) -> Duration {
    last_pass / PART
}

/// Time of a session's last answer, and its last absence.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GatherWindow {
    answered: Option<Instant>,
    last: Option<Duration>,
}

impl GatherWindow {
    /// Notes that the session's command was answered.
    pub(super) fn leave(&mut self, now: Instant) {
        self.answered = Some(now);
    }

    /// Notes the session's next command.
    pub(super) fn come(&mut self, arrived: Instant) {
        let away = self.answered.take();
        let away = away.map(|since| arrived.saturating_duration_since(since));
        self.last = away.or(self.last);
    }

    /// True if the session is away, returned within `patience` the last time, and may do so again.
    pub(super) fn is_expected(&self, now: Instant, patience: Duration) -> bool {
        let away = self.answered.map(|since| now.duration_since(since));
        away.is_some_and(|away| away <= patience) && self.last.is_some_and(|last| last <= patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn session_that_returned_soon_is_expected_for_a_part_of_a_pass() {
        let (patience, start) = (patience(50 * MILLI), Instant::now());
        let mut session = GatherWindow::default();
        assert!(!session.is_expected(start, patience), "it was never here");
        session.leave(start);
        assert!(
            !session.is_expected(start + MILLI, patience),
            "it was never back"
        );
        session.come(start + 3 * MILLI);
        assert!(
            !session.is_expected(start + 4 * MILLI, patience),
            "it is here"
        );
        session.leave(start + 10 * MILLI);
        assert!(session.is_expected(start + 12 * MILLI, patience));
        assert!(session.is_expected(start + 15 * MILLI, patience));
        assert!(
            !session.is_expected(start + 16 * MILLI, patience),
            "too long"
        );
        session.come(start + 40 * MILLI);
        session.leave(start + 50 * MILLI);
        assert!(
            !session.is_expected(start + 51 * MILLI, patience),
            "it took 30 ms"
        );
    }
}
