//! Shares of a pass: rows for each command.
//!
//! A command is *short* when no more is left of it than the rows that its caller verifies, or than a quarter of a pass: a token,
//! a block to verify, the end of a prompt. All others are *long*. The rules, each of which a test holds:
//!
//! - Short commands go first and whole, in the order of their arrival. A session has one command at a time, so sessions take
//!   turns, for blocks of any size.
//! - Long commands get what is left, and at least a quarter of the pass. Where a block is too large to leave that quarter,
//!   whoever has been passed over longer goes first.
//! - While another session could want its next token, long commands get no more than that quarter either: that session's
//!   command arrives while the pass runs, and would wait for all of it. On a CPU the shorter passes cost a prompt little.
//! - Of the rows for long commands the one that came first gets half, so that it ends; the rest goes to those with the least
//!   left, so that a short prompt does not wait for long ones before it.

/// Divisor of a pass that gives the rows which long commands can count on.
const LONG_SHARE: usize = 4;

/// A command that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// Tokens that are not computed yet; at least 1.
    pub(super) left: usize,
    /// The last of them that are wanted in one pass, since their logits are.
    pub(super) rows: usize,
    /// Passes that it was left out of since it last had rows.
    pub(super) passed_over: u32,
}

/// Rows of one command in a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// The next tokens; 0 leaves the command out.
    pub(super) tokens: usize,
    /// Rows of logits wanted; 0 until the last tokens are among them.
    pub(super) rows: usize,
}

/// Rows to share out, and the sessions that may want some.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Rows of a pass, all commands together; no command wants more at once.
    pub(super) rows: usize,
    /// Open sessions, those with a command that waits included.
    pub(super) sessions: usize,
}

impl Room {
    /// Rows that long commands can count on.
    fn reserve(self) -> usize {
        (self.rows / LONG_SHARE).max(1)
    }

    /// True if so little of a command is left that it is not split any more.
    fn is_short(self, command: &Waiting) -> bool {
        command.left <= self.reserve().max(command.rows)
    }
}

/// A step for each command of `waiting`, which is in the order of arrival. Something is computed if anything waits.
pub(super) fn plan(waiting: &[Waiting], room: Room) -> Vec<Step> {
    let mut steps = vec![Step::default(); waiting.len()];
    let (short, long): (Vec<usize>, Vec<usize>) =
        (0..waiting.len()).partition(|&index| room.is_short(&waiting[index]));
    let longest_wait = |of: &[usize]| of.iter().map(|&index| waiting[index].passed_over).max();
    let reserved = if long.is_empty() { 0 } else { room.reserve() };
    let takes_all = longest_wait(&short) > longest_wait(&long);
    let mut used = 0;
    for index in short {
        let Waiting { left, rows, .. } = waiting[index];
        let first = used == 0 && takes_all;
        let allowed = room.rows - if first { 0 } else { reserved };
        if used + left <= allowed {
            used += left;
            steps[index] = Step { tokens: left, rows };
        }
    }
    let free = room.rows - used;
    let others_are_open = room.sessions > long.len();
    let free = if others_are_open {
        free.min(reserved)
    } else {
        free
    };
    share_out(free, &long, waiting, &mut steps);
    steps
}

/// Gives `free` rows to the long commands, which are in the order of arrival.
fn share_out(free: usize, long: &[usize], waiting: &[Waiting], steps: &mut [Step]) {
    let Some(&oldest) = long.first() else {
        return;
    };
    let mut given = vec![0; waiting.len()];
    given[oldest] = free.div_ceil(2).min(waiting[oldest].left);
    let mut free = free - given[oldest];
    let mut shortest_first = long.to_vec();
    shortest_first.sort_by_key(|&index| waiting[index].left);
    for index in shortest_first {
        let Waiting { left, rows, .. } = waiting[index];
        let more = free.min(left - given[index]);
        free -= more;
        given[index] += more;
        steps[index] = if given[index] == left {
            Step { tokens: left, rows }
        } else {
            let tokens = given[index].min(left - rows);
            Step { tokens, rows: 0 }
        };
    }
}

#[cfg(test)]
mod tests;
