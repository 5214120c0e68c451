//! Whose turn it is to try a drafter again that sessions have given up.

/// Plain rounds of all sessions between trials, at first and at most. Each that changes nothing doubles them.
const ROUNDS: (u32, u32) = (16, 512);

/// The plain rounds of all sessions that rest beside others. They are counted together, since all learn from what one tries, and since
/// a reply may be over before its own rounds would be many enough.
#[derive(Clone, Debug)]
pub struct Rests {
    rounds: u32,
    between: u32,
    /// A session whose turn it was has not told yet what came of it.
    is_tried: bool,
}

impl Default for Rests {
    fn default() -> Self {
        Self {
            rounds: 0,
            between: ROUNDS.0,
            is_tried: false,
        }
    }
}

impl Rests {
    /// Counts a plain round of a session that rests. Whether it is to try.
    pub fn pass(&mut self) -> bool {
        self.rounds += 1;
        let is_due = self.rounds >= self.between;
        if is_due {
            self.rounds = 0;
            self.is_tried = true;
        }
        is_due
    }

    /// Counts a trial: whether its session drafts from now on. Those of sessions that begin bring the next turn nearer or leave it
    /// where it is.
    pub fn tried(&mut self, drafts: bool) {
        if drafts {
            self.between = ROUNDS.0;
        } else if self.is_tried {
            self.between = (2 * self.between).min(ROUNDS.1);
        }
        self.is_tried = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_come_seldom_where_they_change_nothing_and_soon_where_they_do() {
        let mut rests = Rests::default();
        let rounds = |rests: &mut Rests| 1 + (0..1000).take_while(|_| !rests.pass()).count();
        let mut found = Vec::new();
        for drafts in [false, false, false, false, false, false, true, false] {
            found.push(rounds(&mut rests));
            rests.tried(drafts);
        }
        assert_eq!(found, [16, 32, 64, 128, 256, 512, 512, 16]);
        for _ in 0..10 {
            rests.tried(false);
        }
        assert_eq!(rounds(&mut rests), 32, "nobody's turn");
    }
}
