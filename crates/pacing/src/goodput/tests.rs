//! The length against drafters of every quality.

mod estimates;

use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);

/// Costs of a target that takes 50 ms for a row and 8 ms for each further one.
fn costs() -> VerifyCost {
    VerifyCost::measured(&[(1, 50 * MILLISECOND), (2, 58 * MILLISECOND)])
}

/// Of a drafter that is right more often than not.
fn known() -> Survival {
    let mut survival = Survival::default();
    for stood in [2, 0, 1, 2] {
        survival.observe(2, stood);
    }
    survival
}

/// Runs rounds against a drafter that looks like this and of which so many tokens stand each time, and that takes so long for a
/// token and for a round trip. Gives the lengths used and the time of all rounds by that of plain ones.
fn run(
    rounds: usize,
    (survival, stands): (Survival, impl Fn(usize) -> usize),
    token: Duration,
    trip: Duration,
) -> (Vec<usize>, f64) {
    let verify = costs();
    let mut length = Length::new(16, survival, DraftCost::default(), 0, &verify);
    let (mut lengths, mut seconds, mut tokens) = (Vec::new(), 0.0, 0.0);
    for round in 0..rounds {
        let drafted = length.current();
        lengths.push(drafted);
        let stood = stands(round).min(drafted);
        if length.is_trial() {
            seconds += verify.predict(1.0);
            tokens += 1.0;
            length.tried(drafted, stood, &verify);
            length.observe(None, 0, &verify);
            continue;
        }
        seconds += verify.predict(1.0 + drafted as f64);
        tokens += 1.0 + stood as f64;
        let outcome = (drafted > 0).then(|| {
            let compute = token * drafted as u32;
            seconds += (compute + trip).as_secs_f64();
            length.delivered(drafted, compute, Some(compute + trip));
            Outcome {
                skipped: 0,
                drafted,
                stood,
                candidates: drafted,
            }
        });
        length.observe(outcome, 0, &verify);
    }
    (lengths, tokens * verify.predict(1.0) / seconds)
}

#[test]
fn drafter_that_is_always_right_gets_the_longest_blocks() {
    let (lengths, speedup) = run(200, (known(), |_| 99), 7 * MILLISECOND, MILLISECOND);
    assert_eq!(lengths.last(), Some(&16));
    assert!(speedup > 2.5, "{speedup}");
}

#[test]
fn drafter_that_is_never_right_costs_next_to_nothing() {
    for trip in [0, 10, 50, 100] {
        let unknown = (Survival::default(), |_| 0);
        let (lengths, speedup) = run(600, unknown, 7 * MILLISECOND, trip * MILLISECOND);
        assert!(speedup > 0.999, "round trip of {trip} ms: {speedup}");
        let trials = lengths[100..].iter().filter(|length| **length > 0).count();
        assert!((1..30).contains(&trials), "{trials}");
    }
}

#[test]
fn drafter_that_is_right_half_the_time_gets_short_blocks() {
    let half = |round: usize| [0, 3, 0, 1, 0, 6, 1, 0][round % 8];
    let (lengths, speedup) = run(400, (known(), half), 7 * MILLISECOND, MILLISECOND);
    let late = &lengths[100..];
    assert!(late.iter().all(|length| *length <= 6), "{late:?}");
    assert!(speedup > 1.0, "{speedup} {lengths:?}");
}

#[test]
fn drafting_begins_again_when_the_drafter_is_of_use_again() {
    let (lengths, _) = run(
        400,
        (known(), |round| if round < 60 { 0 } else { 99 }),
        7 * MILLISECOND,
        MILLISECOND,
    );
    assert!(lengths[40..60].contains(&0));
    assert!(lengths[300..].iter().all(|length| *length > 4));
}

#[test]
fn far_drafter_is_asked_for_more_at_a_time() {
    let stands = |round: usize| [4, 12, 6, 16][round % 4];
    let near = run(200, (known(), stands), MILLISECOND, MILLISECOND).0[199];
    let far = run(200, (known(), stands), MILLISECOND, 100 * MILLISECOND).0[199];
    assert!(far >= near && far > 4, "{near} {far}");
}

/// Of a drafter of which no block ever stood.
fn useless() -> Survival {
    let mut survival = Survival::default();
    for _ in 0..50 {
        survival.observe(4, 0);
    }
    survival
}

#[test]
fn experience_of_others_is_where_a_session_begins() {
    let verify = costs();
    let mut draft = DraftCost::default();
    draft.observe(4, 28 * MILLISECOND, Some(30 * MILLISECOND));
    let mut length = Length::new(16, useless().inherited(), draft, 0, &verify);
    // The first block asks whether it is still so.
    assert!(length.is_trial() && length.current() == TRIAL);
    length.tried(TRIAL, 0, &verify);
    assert_eq!(length.current(), 0);
    let length = Length::new(16, known().inherited(), draft, 0, &verify);
    assert!(!length.is_trial() && length.current() > 0);
}

#[test]
fn drafter_that_nobody_knows_is_tried_out_and_taken_when_something_stands() {
    let verify = costs();
    let new = || {
        let (nothing, draft) = (Survival::default(), DraftCost::default());
        Length::new(16, nothing.inherited(), draft, 0, &verify)
    };
    let mut length = new();
    assert!(length.is_trial());
    length.tried(TRIAL, 2, &verify);
    assert!(!length.is_trial() && length.current() > 0);
    // Luck is asked for soon again, and then ever later.
    let mut length = new();
    let mut rounds = Vec::new();
    for round in 0..100 {
        if length.is_trial() {
            length.tried(TRIAL, 0, &verify);
            rounds.push(round);
        }
        length.observe(None, 0, &verify);
    }
    assert_eq!(rounds, [0, 1, 3, 7, 15, 31, 63]);
}

#[test]
fn session_beside_others_tries_when_it_is_its_turn() {
    let verify = costs();
    let plain_rounds = |others| {
        let inherited = useless().inherited();
        let mut length = Length::new(16, inherited, DraftCost::default(), others, &verify);
        let rounds = std::iter::repeat_with(|| {
            let is_plain = length.current() == 0;
            length.observe(None, others, &verify);
            is_plain
        });
        let rounds = rounds.take(300).take_while(|is_plain| *is_plain).count();
        (rounds, length)
    };
    assert_eq!(plain_rounds(0).0, 0);
    let (rounds, mut length) = plain_rounds(1);
    assert!(rounds == 300 && length.rests());
    length.try_out();
    assert!(length.is_trial() && !length.rests());
    length.tried(TRIAL, 0, &verify);
    assert!(length.rests());
}

#[test]
fn drafter_that_had_too_much_to_do_is_taken_again_when_it_has_not() {
    // A target whose rows cost nothing, beside three others.
    let verify = VerifyCost::measured(&[(1, 100 * MILLISECOND), (64, 101 * MILLISECOND)]);
    let mut draft = DraftCost::default();
    let mut bad = Survival::default();
    for round in 0..50 {
        bad.observe(4, usize::from(round % 3 == 0));
        draft.observe(4, 400 * MILLISECOND, Some(400 * MILLISECOND));
    }
    let mut length = Length::new(4, bad, draft, 3, &verify);
    length.rest();
    for _ in 0..3 {
        length.try_out();
        length.delivered(TRIAL, 12 * MILLISECOND, Some(12 * MILLISECOND));
        length.tried(TRIAL, 1, &verify);
    }
    assert!(length.pause.is_none() && length.current() > 0);
}

#[test]
fn block_that_takes_a_pass_is_as_good_as_what_it_says_behind_the_token_of_that_pass() {
    let verify = VerifyCost::measured(&[(1, 100 * MILLISECOND), (64, 100 * MILLISECOND)]);
    let mut survival = Survival::default();
    for _ in 0..200 {
        survival.observe(8, 8);
    }
    let goodputs = |milliseconds: u32| {
        let mut draft = DraftCost::default();
        let token = milliseconds * MILLISECOND / 4;
        draft.observe(4, 4 * token, Some(4 * token));
        let length = Length::new(8, survival.clone(), draft, 7, &verify);
        let goodputs = length.goodputs(&verify, 0.0);
        let tokens =
            |drafted: usize| goodputs[drafted - 1] * length.seconds(drafted as f64, &verify);
        (tokens(1), tokens(4), length.ahead(4.0, &verify))
    };
    let near = |found: (f64, f64, f64), expected: (f64, f64, f64)| {
        let close = |found: f64, expected: f64| (found - expected).abs() < 0.2;
        let all = [
            (found.0, expected.0),
            (found.1, expected.1),
            (found.2, expected.2),
        ];
        assert!(
            all.iter().all(|(one, other)| close(*one, *other)),
            "{found:?}"
        );
    };
    near(goodputs(0), (2.0, 5.0, 0.0));
    // A token alone is there for the round after the next, which the target has said by then.
    near(goodputs(90), (2.0, 5.0, 1.0));
    near(goodputs(190), (2.0, 5.0, 2.0));
}

#[test]
fn what_hardly_pays_together_is_left_alone() {
    // A token of eight plain sessions takes 13.5 ms, a row more 11.
    let mut verify = VerifyCost::default();
    for rows in 1..200 {
        let rows = 1 + rows * 7 % 64;
        verify.observe(rows, (rows as u32 * 11 + 20) * MILLISECOND);
    }
    let always = |others, computes: u32| {
        let mut survival = Survival::default();
        for _ in 0..50 {
            survival.observe(8, 8);
        }
        let mut draft = DraftCost::default();
        draft.observe(4, 4 * computes * MILLISECOND, Some(Duration::ZERO));
        Length::new(8, survival, draft, others, &verify).current()
    };
    assert!(always(0, 100) > 0);
    assert_eq!(always(7, 100), 0);
    // A look-up takes no time, and slows nobody.
    assert!(always(7, 0) > 0);
}

#[test]
fn trial_goes_on_while_there_is_nothing_to_propose() {
    let verify = costs();
    let mut length = Length::new(16, useless(), DraftCost::default(), 0, &verify);
    for _ in 0..1000 {
        assert!(length.is_trial());
        length.declined(0, &verify);
    }
    length.tried(TRIAL, 0, &verify);
    assert!(!length.is_trial(), "that was it");
    let rounds = std::iter::repeat_with(|| {
        length.declined(0, &verify);
        length.current()
    });
    let pause = rounds.take(1000).take_while(|length| *length == 0).count();
    assert!(pause < 9, "the next comes as soon as after plain rounds");
}

#[test]
fn trial_that_brings_nothing_ends() {
    let verify = costs();
    let mut length = Length::new(16, useless(), DraftCost::default(), 0, &verify);
    let rounds = std::iter::repeat_with(|| {
        length.observe(None, 0, &verify);
        length.is_trial()
    });
    let patience = rounds.take(1000).take_while(|is_trial| *is_trial).count();
    assert_eq!(patience, TRIAL_PATIENCE as usize);
}

#[test]
fn session_after_a_bad_one_drafts_as_soon_as_something_stands() {
    let mut shared = Survival::default();
    for stood in [0, 1, 0, 0, 1, 0, 0, 0] {
        shared.observe_shared(4, stood);
    }
    let mut draft = DraftCost::default();
    draft.observe(4, 28 * MILLISECOND, Some(20 * MILLISECOND));
    let mut verify = VerifyCost::default();
    verify.observe(1, 50 * MILLISECOND);
    let mut length = Length::new(16, shared.inherited(), draft, 0, &verify);
    length.tried(TRIAL, 3, &verify);
    assert!(length.pause.is_none());
}

#[test]
fn rows_of_many_sessions_must_look_surer_than_those_of_one() {
    let verify = costs();
    let least = |others| {
        let length = Length::new(16, known(), DraftCost::default(), others, &verify);
        length.least_chance(&verify)
    };
    // 8 of 50 ms, and eight times 8 of 106.
    assert!((least(0) - 0.16).abs() < 0.06, "{}", least(0));
    assert!((least(7) - 0.65).abs() < 0.1, "{}", least(7));
    assert!(least(1000) <= SURE);
}

#[test]
fn rows_must_bring_what_rounds_do() {
    let verify = costs();
    let mut length = Length::new(16, known(), DraftCost::default(), 0, &verify);
    let before = length.least_chance(&verify);
    for _ in 0..100 {
        let outcome = Outcome {
            skipped: 0,
            drafted: 6,
            stood: 6,
            candidates: 6,
        };
        length.observe(Some(outcome), 0, &verify);
    }
    // Seven tokens in 98 ms, instead of one in 50.
    let after = length.least_chance(&verify);
    assert!((after / before - 3.5).abs() < 0.3, "{before} {after}");
}

#[test]
fn row_costs_the_tokens_that_are_committed_in_its_time() {
    let verify = costs();
    let mut length = Length::new(16, known(), DraftCost::default(), 0, &verify);
    for _ in 0..100 {
        let drafted = length.current();
        length.delivered(drafted, drafted as u32 * MILLISECOND, Some(MILLISECOND * 2));
        let outcome = Outcome {
            skipped: 0,
            drafted,
            stood: drafted.min(3),
            candidates: drafted,
        };
        length.observe(Some(outcome), 0, &verify);
    }
    let row = length.row_cost(&verify);
    let tokens = length.typical();
    let seconds = verify.predict(tokens + 2.0) - verify.predict(tokens + 1.0);
    let round = length.draft.wait(tokens) + verify.predict(1.0 + tokens);
    assert!((row.share - seconds / round).abs() < 1e-9, "{row:?}");
    // Three of the draft's tokens and one more in nearly every round.
    let committed = row.tokens / row.share;
    assert!((3.5..4.5).contains(&committed), "{committed}");
}

#[test]
fn drafting_begins_where_others_leave() {
    let verify = costs();
    let mut survival = Survival::default();
    for round in 0..40 {
        survival.observe(4, if round % 5 < 2 { 4 } else { 0 });
    }
    let mut length = Length::new(8, survival, DraftCost::default(), 7, &verify);
    length.tried(TRIAL, 0, &verify);
    length.observe(None, 7, &verify);
    length.tried(TRIAL, 1, &verify);
    assert_eq!(length.current(), 0);
    length.observe(None, 1, &verify);
    assert!(length.current() > 0 && !length.is_trial());
}

#[test]
fn what_pays_alone_need_not_pay_where_all_sessions_share_a_pass() {
    // 50 ms and 8 ms for a further row: eight rows are 106 ms, so a row more costs nearly what its token is worth.
    let verify = costs();
    let settled = |others| {
        let mut length = Length::new(8, known(), DraftCost::default(), others, &verify);
        for round in 0..400 {
            if length.current() > 0 {
                let drafted = length.current();
                length.delivered(drafted, MILLISECOND, Some(MILLISECOND));
                let outcome = Outcome {
                    skipped: 0,
                    drafted,
                    stood: if round % 5 < 2 { drafted } else { 0 },
                    candidates: drafted,
                };
                length.observe(Some(outcome), others, &verify);
            } else {
                length.observe(None, others, &verify);
            }
        }
        length.current()
    };
    assert!(settled(0) > 0);
    assert_eq!(settled(7), 0);
}
