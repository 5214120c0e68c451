//! Whether a session that has been answered is worth holding the next pass back for.
//!
//! Sessions that shared a pass are answered together and come back one after another. A pass that began with the first of them
//! would leave the others out, and they would wait for all of it: passes of one session and of all others would take turns for
//! good, though a pass of all costs little more than either. So whoever was back soon the last time is waited for, a small part
//! of a pass's time. Nobody waits for a session that drafts, sends or sleeps between its commands.

use std::time::{Duration, Instant};

/// The part of the last pass's time that the next is held back for is at most one in so many.
const PART: u32 = 10;

/// How long a pass may be held back after one that took this long.
pub(super) fn patience(last_pass: Duration) -> Duration {
    last_pass / PART
}

/// When a session was answered, and how long it was away the last time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GatherWindow {
    answered: Option<Instant>,
    last: Option<Duration>,
}

impl GatherWindow {
    /// Notes that its command has been answered.
    pub(super) fn leave(&mut self, now: Instant) {
        self.answered = Some(now);
    }

    /// Notes its next command, handed in at this moment.
    pub(super) fn come(&mut self, arrived: Instant) {
        let away = self.answered.take();
        let away = away.map(|since| arrived.saturating_duration_since(since));
        self.last = away.or(self.last);
    }

    /// Whether it is away, was back within `patience` the last time, and may be so again.
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
    fn only_who_was_back_soon_is_expected_and_not_for_longer_than_a_part_of_a_pass() {
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
