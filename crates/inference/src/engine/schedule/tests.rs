//! The rules of sharing a pass, on commands that come and go as sessions' do.

use super::*;

const ROWS: usize = 16;

fn waiting(left: usize, rows: usize) -> Waiting {
    Waiting {
        left,
        rows,
        passed_over: 0,
    }
}

/// A room in which every session has a command that waits.
fn full(rows: usize, waiting: &[Waiting]) -> Room {
    Room {
        rows,
        sessions: waiting.len(),
    }
}

fn tokens(waiting: &[Waiting], room: Room) -> Vec<usize> {
    let steps = plan(waiting, room);
    steps.into_iter().map(|step| step.tokens).collect()
}

/// Sessions that want something over and over; the length of each command and the rows wanted of it.
struct Simulation {
    rows: usize,
    /// Command that each session repeats when it was served.
    commands: Vec<(usize, usize)>,
    queue: Vec<(usize, Waiting)>,
}

impl Simulation {
    fn new(rows: usize, commands: &[(usize, usize)]) -> Self {
        let new = |(index, &(left, rows))| (index, waiting(left, rows));
        Self {
            rows,
            commands: commands.to_vec(),
            queue: commands.iter().enumerate().map(new).collect(),
        }
    }

    /// Runs one pass; gives the rows that each session had, and the longest that any has been passed over.
    fn pass(&mut self) -> (Vec<usize>, u32) {
        let list: Vec<Waiting> = self.queue.iter().map(|(_, waiting)| *waiting).collect();
        let steps = plan(&list, full(self.rows, &list));
        let mut had = vec![0; self.commands.len()];
        let mut served = Vec::new();
        for ((session, work), step) in self.queue.iter_mut().zip(&steps) {
            had[*session] = step.tokens;
            assert!(step.rows == 0 || step.rows == work.rows && step.tokens == work.left);
            work.left -= step.tokens;
            work.passed_over = if step.tokens == 0 {
                work.passed_over + 1
            } else {
                0
            };
            if work.left == 0 {
                served.push(*session);
            }
        }
        let total: usize = had.iter().sum();
        assert!(total > 0 && total <= self.rows, "{total} rows");
        self.queue.retain(|(_, work)| work.left > 0);
        for session in served {
            let (left, rows) = self.commands[session];
            self.queue.push((session, waiting(left, rows)));
        }
        let worst = self.queue.iter().map(|(_, work)| work.passed_over).max();
        (had, worst.unwrap_or(0))
    }
}

#[test]
fn short_commands_go_first_and_whole_and_prompts_get_the_rest() {
    let list = [waiting(1000, 0), waiting(5, 5), waiting(1, 1)];
    assert_eq!(tokens(&list, full(ROWS, &list)), [4, 5, 1]);
    // The rows that are wanted wait for a pass that can have all of them.
    let list = [waiting(12, 9)];
    let steps = plan(&list, full(11, &list));
    assert_eq!(steps, [Step { tokens: 3, rows: 0 }]);
}

#[test]
fn a_prompt_alone_has_the_whole_pass_and_leaves_room_for_sessions_between_their_commands() {
    let list = [waiting(1000, 0)];
    assert_eq!(tokens(&list, full(ROWS, &list)), [ROWS]);
    let room = Room {
        rows: ROWS,
        sessions: 2,
    };
    assert_eq!(tokens(&list, room), [ROWS / LONG_SHARE]);
}

#[test]
fn a_prompt_has_its_share_however_many_decode() {
    let mut commands = vec![(1, 1); 40];
    commands.push((1_000_000, 0));
    let mut simulation = Simulation::new(ROWS, &commands);
    for _ in 0..200 {
        let (had, worst) = simulation.pass();
        assert_eq!(had[40], ROWS / LONG_SHARE);
        assert!(worst <= 40_u32.div_ceil(12), "passed over {worst} times");
    }
}

#[test]
fn a_short_prompt_does_not_wait_for_long_ones_before_it_and_the_first_of_those_goes_on() {
    let list = [waiting(900, 0), waiting(1000, 0), waiting(30, 1)];
    assert_eq!(tokens(&list, full(ROWS, &list)), [8, 0, 8]);
    // With prompts of 30 tokens for ever, the long one still goes on in each pass.
    let mut simulation = Simulation::new(ROWS, &[(1_000_000, 0), (30, 1), (30, 1), (30, 1)]);
    for _ in 0..300 {
        let (had, _) = simulation.pass();
        assert!(had[0] >= ROWS / LONG_SHARE / 2, "{had:?}");
    }
}

#[test]
fn sessions_with_large_blocks_take_turns_with_those_of_one_row() {
    let commands = [(16, 16), (16, 16), (16, 16), (1, 1), (1, 1)];
    let mut simulation = Simulation::new(ROWS, &commands);
    let mut served = [0; 5];
    for _ in 0..300 {
        let (had, worst) = simulation.pass();
        assert!(worst < 5, "passed over {worst} times");
        for (count, had) in served.iter_mut().zip(had) {
            *count += usize::from(had > 0);
        }
    }
    assert!(served.iter().all(|&count| count >= 60), "{served:?}");
}

#[test]
fn nobody_waits_longer_than_a_turn_of_all_whatever_they_want() {
    let kinds = [(1, 1), (3, 3), (9, 9), (16, 16), (40, 1), (500, 0)];
    for rows in [1, 2, 3, 7, 16, 64] {
        // Every selection of three kinds, in every order.
        for mut code in 0..kinds.len().pow(3) {
            let mut pick = || {
                let (left, wanted) = kinds[code % kinds.len()];
                code /= kinds.len();
                (left, wanted.min(rows))
            };
            let commands = [pick(), pick(), pick(), pick()];
            let mut simulation = Simulation::new(rows, &commands);
            for _ in 0..60 {
                let (_, worst) = simulation.pass();
                let is_long = |&&(left, wanted): &&(usize, usize)| {
                    !full(rows, &[]).is_short(&waiting(left, wanted))
                };
                let long = commands.iter().filter(is_long).count();
                // Only the first long command and the shortest are sure of every pass.
                assert!(long > 1 || worst <= 4, "{commands:?} in {rows}: {worst}");
            }
        }
    }
}
