//! The switch: measured speed with drafting against measured speed without, over all sessions that share the target's passes.
//!
//! Estimates know passes and waits. They do not know what a thousand streams cost the processor that runs them, or what a
//! drafter takes from a target on the same machine. So, now and then, all sessions are plain for a few rounds, and the committed
//! tokens by wall clock decide whether to draft at all. What was found is remembered by load, in powers of two of the sessions.

use crate::round::Round;

/// Rounds of each session that are measured without drafting, or with it where it was off; and the fewest of all sessions.
const MEASURED: usize = 8;
const LEAST: usize = 64;
/// Rounds of each session that do not count after drafting begins: streams open, drafters read prompts.
const SETTLING: usize = 8;
/// Rounds of each session between two checks, at first and at most: while drafting, and while plain.
const DRAFT_INTERVAL: (usize, usize) = (32, 256);
const PLAIN_INTERVAL: (usize, usize) = (128, 2048);
/// From this many sessions on, drafting begins with a sample of them: one in `SAMPLE`.
const MANY: usize = 64;
const SAMPLE: u64 = 16;
/// Drafting goes on at this part of the plain speed or more. Below 1, since a short comparison is not exact.
const ENOUGH: f64 = 0.98;
/// Loads that are told apart: sessions rounded to powers of two.
const LOADS: usize = 17;

/// Decides for all sessions of a target whether they may draft.
#[derive(Clone, Debug)]
pub struct Switch {
    phase: Phase,
    /// Sessions when the phase began.
    sessions: usize,
    /// Rounds of the phase so far.
    rounds: usize,
    /// Speed in this phase, and in the one before it.
    speed: Speed,
    before: Speed,
    found: [Found; LOADS],
}

/// Phase of the comparison.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// All may draft. Ends in [`Phase::Check`] after the interval, or in [`Phase::Plain`] where a single session's measured
    /// speed is below that of plain passes.
    Draft,
    /// All are plain for a moment. Ends in [`Phase::Draft`] or [`Phase::Plain`], whichever was faster.
    Check,
    /// All are plain. Ends in [`Phase::Sample`] after the interval.
    Plain,
    /// A sample may draft; of few sessions, all. Ends in [`Phase::Draft`] if they all would be faster, else in [`Phase::Plain`].
    Sample,
}

/// Tokens and seconds of recent rounds, and how many of these asked for a block.
#[derive(Clone, Copy, Debug, Default)]
struct Speed {
    rounds: f64,
    asked: f64,
    tokens: f64,
    seconds: f64,
}

/// What was found at a load.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// Drafting was faster; `None` before any comparison.
    drafts: Option<bool>,
    /// Rounds of each session until the next comparison.
    interval: usize,
}

impl Default for Switch {
    fn default() -> Self {
        Self {
            phase: Phase::Draft,
            sessions: 1,
            rounds: 0,
            speed: Speed::default(),
            before: Speed::default(),
            found: [Found {
                drafts: None,
                interval: DRAFT_INTERVAL.0,
            }; LOADS],
        }
    }
}

impl Speed {
    /// Takes in a round; those before it lose a part in `memory` of their weight.
    fn observe(&mut self, round: &Round, memory: f64) {
        let keep = 1.0 - 1.0 / memory;
        for (sum, new) in [
            (&mut self.rounds, 1.0),
            (&mut self.asked, f64::from(u8::from(round.asked))),
            (&mut self.tokens, round.committed as f64),
            (&mut self.seconds, round.took.as_secs_f64()),
        ] {
            *sum = keep * *sum + new;
        }
    }

    /// Tokens a second of one session.
    fn rate(&self) -> f64 {
        self.tokens / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// True if drafting can be the reason for this speed.
    fn is_drafted(&self) -> bool {
        self.asked > 0.05 * self.rounds
    }
}

impl Switch {
    /// True if the session with this number, one of `sessions`, may draft now.
    pub fn admits(&self, number: u64, sessions: usize) -> bool {
        if self.is_other(sessions) {
            return self.drafts_at(sessions);
        }
        match self.phase {
            Phase::Draft => true,
            Phase::Check | Phase::Plain => false,
            Phase::Sample => self.sessions < MANY || number.is_multiple_of(SAMPLE),
        }
    }

    /// Takes in a round of one of `sessions`, where a pass in which all are plain takes `plain` seconds.
    pub fn observe(&mut self, round: &Round, sessions: usize, plain: f64) {
        if self.is_other(sessions) {
            self.load(sessions);
        }
        // A single session is compared with the model's own passes, so only rounds with drafts tell anything.
        if self.sessions == 1 && self.phase == Phase::Draft && !round.asked {
            return;
        }
        self.rounds += 1;
        let settling = match self.phase {
            Phase::Draft | Phase::Sample => SETTLING,
            Phase::Check | Phase::Plain => 1,
        };
        if self.rounds <= settling * self.sessions {
            return;
        }
        let memory = (DRAFT_INTERVAL.0 * self.sessions).max(2 * LEAST) as f64;
        self.speed.observe(round, memory);
        let length = match self.phase {
            // A single session's tokens a round vary much.
            Phase::Draft if self.sessions == 1 => 2 * LEAST,
            Phase::Draft => self.found().interval * self.sessions,
            // As much longer than the sample as with many sessions.
            Phase::Plain => self.found().interval * self.sessions.max(LEAST / MEASURED),
            Phase::Check | Phase::Sample => MEASURED * self.sessions,
        };
        let measured = self.rounds - settling * self.sessions;
        if measured >= length.max(LEAST) {
            self.phase_is_over(plain);
        }
    }

    fn phase_is_over(&mut self, plain: f64) {
        match self.phase {
            // Nobody drafts, so there is nothing to compare.
            Phase::Draft if !self.speed.is_drafted() => self.begin(Phase::Draft),
            // A single session is compared with what its plain passes take, at no cost.
            Phase::Draft if self.sessions == 1 => {
                self.decide(self.speed.rate() * plain >= ENOUGH);
            }
            Phase::Draft => self.begin(Phase::Check),
            Phase::Check => self.decide(self.before.rate() >= ENOUGH * self.speed.rate()),
            Phase::Plain => self.begin(Phase::Sample),
            Phase::Sample if !self.speed.is_sampled(self.sessions) => self.begin(Phase::Draft),
            Phase::Sample => {
                let part = if self.sessions < MANY { 1 } else { SAMPLE };
                let gain = self.speed.rate() / self.before.rate() - 1.0;
                // All of them gain or lose as much more as they are more.
                self.decide(1.0 + part as f64 * gain >= ENOUGH);
            }
        }
    }

    fn decide(&mut self, drafts: bool) {
        let found = self.found_mut();
        // One comparison may have had bad luck: where several before it were good, it is repeated soon.
        if !drafts && found.drafts == Some(true) && found.interval > DRAFT_INTERVAL.0 {
            found.interval = DRAFT_INTERVAL.0;
            return self.begin(Phase::Draft);
        }
        let (first, most) = if drafts {
            DRAFT_INTERVAL
        } else {
            PLAIN_INTERVAL
        };
        found.interval = if found.drafts == Some(drafts) {
            (2 * found.interval).min(most)
        } else {
            first
        };
        found.drafts = Some(drafts);
        self.begin(if drafts { Phase::Draft } else { Phase::Plain });
    }

    /// True if so many sessions are another load than the present phase began with.
    fn is_other(&self, sessions: usize) -> bool {
        sessions > 2 * self.sessions || 2 * sessions < self.sessions
    }

    /// What was found at a load. Without any comparison many sessions begin plain, few with drafting.
    fn drafts_at(&self, sessions: usize) -> bool {
        let found = self.found[load(sessions)];
        found.drafts.unwrap_or(sessions < MANY)
    }

    /// Another load begins.
    fn load(&mut self, sessions: usize) {
        self.sessions = sessions.max(1);
        let drafts = self.drafts_at(self.sessions);
        if self.found().drafts.is_none() && !drafts {
            self.found_mut().interval = MEASURED;
        }
        self.begin(if drafts { Phase::Draft } else { Phase::Plain });
    }

    fn begin(&mut self, phase: Phase) {
        self.before = std::mem::take(&mut self.speed);
        self.rounds = 0;
        self.phase = phase;
    }

    fn found(&self) -> Found {
        self.found[load(self.sessions)]
    }

    fn found_mut(&mut self) -> &mut Found {
        &mut self.found[load(self.sessions)]
    }
}

impl Speed {
    /// True if the sample drafted.
    fn is_sampled(&self, sessions: usize) -> bool {
        let part = if sessions < MANY { 1.0 } else { SAMPLE as f64 };
        part * self.asked > 0.2 * self.rounds
    }
}

/// Index of a load: the logarithm of its sessions, rounded.
fn load(sessions: usize) -> usize {
    let log = (sessions.max(1) as f64).log2().round() as usize;
    log.min(LOADS - 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::round::BlockFate;

    /// Tokens by second of `sessions` over `rounds` rounds of each, as a part of plain decoding, where drafting by a part of the
    /// sessions makes a round of all take `slower(part)` times as long and gives those `tokens` a round.
    fn run(
        switch: &mut Switch,
        (sessions, rounds): (usize, usize),
        tokens: usize,
        slower: impl Fn(f64) -> f64,
    ) -> f64 {
        let (mut committed, mut seconds) = (0.0, 0.0);
        for _ in 0..rounds {
            let drafts: Vec<bool> = (0..sessions as u64)
                .map(|n| switch.admits(n, sessions))
                .collect();
            let part = drafts.iter().filter(|d| **d).count() as f64 / sessions as f64;
            let took = 0.02 * slower(part);
            seconds += took;
            for asked in drafts {
                let round = Round {
                    took: Duration::from_secs_f64(took),
                    waited: Duration::ZERO,
                    pass: Duration::from_secs_f64(took),
                    committed: if asked { tokens } else { 1 },
                    asked,
                    block: BlockFate::None,
                };
                committed += round.committed as f64 / sessions as f64;
                switch.observe(&round, sessions, 0.02);
            }
        }
        committed / seconds * 0.02
    }

    #[test]
    fn drafting_that_pays_goes_on_with_any_number_of_sessions() {
        for sessions in [1, 2, 8, 32, 128, 1000] {
            let mut switch = Switch::default();
            run(&mut switch, (sessions, 200), 3, |part| 1.0 + part);
            let ratio = run(&mut switch, (sessions, 600), 3, |part| 1.0 + part);
            // It gives 1.5, and the comparisons cost a few plain rounds.
            assert!(ratio > 1.44, "{sessions}: {ratio}");
        }
    }

    #[test]
    fn drafting_that_costs_is_given_up_with_any_number_of_sessions() {
        for (sessions, slower) in [
            (1, 1.2),
            (2, 1.2),
            (8, 1.2),
            (32, 1.2),
            (128, 2.2),
            (1000, 2.2),
        ] {
            let mut switch = Switch::default();
            // Two tokens a round, which takes more than twice as long.
            run(&mut switch, (sessions, 100), 2, |part| 1.0 + slower * part);
            let ratio = run(&mut switch, (sessions, 2000), 2, |part| 1.0 + slower * part);
            assert!(ratio > 0.97, "{sessions}: {ratio}");
        }
    }

    #[test]
    fn plain_rounds_of_a_single_session_say_nothing_against_its_drafts() {
        let mut switch = Switch::default();
        for index in 0..2000 {
            // Rounds take longer than the model's pass, with drafts or without.
            let asked = index % 10 == 0;
            let round = Round {
                took: Duration::from_millis(if asked { 40 } else { 24 }),
                waited: Duration::ZERO,
                pass: Duration::from_millis(20),
                committed: if asked { 3 } else { 1 },
                asked,
                block: BlockFate::None,
            };
            switch.observe(&round, 1, 0.02);
            assert!(switch.admits(0, 1), "{index}");
        }
    }

    #[test]
    fn drafting_that_paid_is_given_up_after_two_bad_comparisons() {
        let mut switch = Switch::default();
        run(&mut switch, (8, 600), 3, |part| 1.0 + part);
        switch.decide(false);
        assert!(switch.admits(0, 8));
        switch.decide(false);
        assert!(!switch.admits(0, 8));
    }

    #[test]
    fn many_sessions_find_out_at_the_cost_of_a_sample() {
        let mut switch = Switch::default();
        let ratio = run(&mut switch, (1000, 100), 2, |part| 1.0 + 2.0 * part);
        assert!(ratio > 0.97, "{ratio}");
    }

    #[test]
    fn each_load_keeps_what_was_found_at_it() {
        let mut switch = Switch::default();
        let costs_many = |sessions: usize| move |part: f64| 1.0 + part * sessions as f64 / 100.0;
        for _ in 0..6 {
            run(&mut switch, (8, 100), 2, costs_many(8));
            run(&mut switch, (512, 100), 2, costs_many(512));
        }
        let few = run(&mut switch, (8, 100), 2, costs_many(8));
        let many = run(&mut switch, (512, 100), 2, costs_many(512));
        assert!(few > 1.7 && many > 0.97, "{few} {many}");
    }

    #[test]
    fn nothing_is_given_up_where_there_is_no_drafter() {
        let mut switch = Switch::default();
        let round = Round {
            took: Duration::from_millis(20),
            waited: Duration::ZERO,
            pass: Duration::from_millis(19),
            committed: 1,
            asked: false,
            block: BlockFate::None,
        };
        for sessions in [1, 8] {
            for _ in 0..100_000 {
                switch.observe(&round, sessions, 0.019);
            }
            assert!(switch.admits(3, sessions));
        }
    }
}
