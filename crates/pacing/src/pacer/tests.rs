//! The pacer against drafters of every quality: what it asks for, and what that gives.

use super::*;
use crate::{deadline::DeadlineOptions, passes::Passes, verify_cost::VerifyCost};

const MILLISECOND: Duration = Duration::from_millis(1);
const LIMITS: Limits = Limits {
    longest: 16,
    judged_unseen: true,
    least_budget: Duration::ZERO,
};

/// A drafter as the simulation sees it.
struct Drafter<F> {
    /// Tokens that would be accepted of a block of any length, by round.
    accepts: F,
    /// Time for a draft token, and for a round trip.
    token: Duration,
    trip: Duration,
}

/// What a simulated reply came to.
struct Run {
    /// Draft tokens asked for, by round.
    lengths: Vec<usize>,
    /// Speed as a multiple of plain decoding.
    speed: f64,
}

/// A target that takes 50 ms for a row and 8 ms for each further one.
fn cost() -> VerifyCost {
    VerifyCost::measured(&[(1, 50 * MILLISECOND), (2, 58 * MILLISECOND)])
}

fn scene(others: usize) -> Scene {
    Scene {
        others,
        cost: cost(),
        may_draft: true,
    }
}

fn unknown() -> Experience {
    Experience::new(DeadlineOptions::default())
}

/// A drafter of which blocks like these were seen, each token taking 7 ms.
fn seen(blocks: &[(usize, usize)]) -> Experience {
    let mut known = unknown();
    for (drafted, accepted) in blocks {
        known.tally.observe(*drafted, *accepted, SHARED_MEMORY);
        let compute = 7 * MILLISECOND * *drafted as u32;
        known.cost.observe(*drafted, compute, Some(compute));
        known.latency.observe(compute);
    }
    known
}

fn judged(drafted: usize, accepted: usize, compute: Duration, latency: Duration) -> BlockFate {
    BlockFate::Judged {
        drafted,
        accepted,
        candidates_per_token: Some(1.0),
        compute,
        latency: Some(latency),
    }
}

/// A reply of `rounds` rounds without other sessions, by a verifier that has a switch, as the services run it.
fn reply<F: Fn(usize) -> usize>(
    (passes, known): (&mut Passes, &mut Experience),
    rounds: usize,
    drafter: &Drafter<F>,
) -> Run {
    let mut pacer = Pacer::new(LIMITS, None);
    let (mut lengths, mut seconds, mut tokens) = (Vec::new(), 0.0, 0.0);
    let plain = cost().predict(1.0);
    for index in 0..rounds {
        let scene = passes.scene(0, 1);
        let wish = pacer.wish(known, &scene);
        lengths.push(wish.tokens());
        let asked = wish.tokens();
        let compute = drafter.token * asked as u32;
        let latency = compute + drafter.trip;
        let accepted = (drafter.accepts)(index).min(asked);
        let (committed, rows, waited, block) = match wish {
            Wish::Plain => (1, 1, Duration::ZERO, BlockFate::None),
            Wish::Probe { .. } => {
                let fate = judged(asked, accepted, compute, latency);
                (1, 1, Duration::ZERO, fate)
            }
            Wish::Draft { wait, .. } if latency > wait => (1, 1, wait, BlockFate::Late { latency }),
            Wish::Draft { .. } => {
                let fate = judged(asked, accepted, compute, latency);
                (1 + accepted, 1 + asked, latency, fate)
            }
        };
        let pass = cost().predict(rows as f64);
        let took = pass + waited.as_secs_f64();
        (seconds, tokens) = (seconds + took, tokens + committed as f64);
        let round = Round {
            took: Duration::from_secs_f64(took),
            waited,
            pass: Duration::from_secs_f64(pass),
            committed,
            asked: asked > 0,
            block,
        };
        passes.observe(&round, rows, 1);
        let scene = passes.scene(0, 1);
        pacer.observe(&round, known, &scene);
    }
    Run {
        lengths,
        speed: tokens * plain / seconds,
    }
}

fn fresh<F: Fn(usize) -> usize>(mut known: Experience, rounds: usize, drafter: &Drafter<F>) -> Run {
    reply((&mut Passes::new(cost()), &mut known), rounds, drafter)
}

fn near<F>(accepts: F) -> Drafter<F> {
    Drafter {
        accepts,
        token: 7 * MILLISECOND,
        trip: MILLISECOND,
    }
}

#[test]
fn drafter_that_is_always_right_gets_the_longest_blocks() {
    let run = fresh(unknown(), 200, &near(|_| 99));
    assert_eq!(run.lengths.last(), Some(&16));
    assert!(run.speed > 2.5, "{}", run.speed);
}

#[test]
fn drafter_that_is_never_right_costs_next_to_nothing() {
    for trip in [0, 10, 50, 100] {
        let drafter = Drafter {
            accepts: |_| 0,
            token: 7 * MILLISECOND,
            trip: trip * MILLISECOND,
        };
        let run = fresh(unknown(), 600, &drafter);
        assert!(run.speed > 0.999, "{trip} ms: {}", run.speed);
        let probes = run.lengths[100..].iter().filter(|length| **length > 0);
        assert!((1..30).contains(&probes.count()), "{:?}", run.lengths);
    }
}

#[test]
fn drafter_that_is_right_half_the_time_gets_short_blocks() {
    let half = |round: usize| [0, 3, 0, 1, 0, 6, 1, 0][round % 8];
    let run = fresh(unknown(), 400, &near(half));
    assert!(run.lengths[100..].iter().all(|length| *length <= 6));
    assert!(run.speed > 1.0, "{} {:?}", run.speed, run.lengths);
}

#[test]
fn drafting_begins_again_when_the_drafter_is_of_use_again() {
    let turns = |round: usize| if round < 60 { 0 } else { 99 };
    let run = fresh(unknown(), 500, &near(turns));
    assert!(run.lengths[40..60].contains(&0));
    assert!(run.lengths[400..].iter().all(|length| *length > 4));
}

#[test]
fn far_drafter_is_asked_for_more_at_a_time() {
    let accepts = |round: usize| [4, 12, 6, 16][round % 4];
    let last = |trip: u32| {
        let drafter = Drafter {
            accepts,
            token: MILLISECOND,
            trip: trip * MILLISECOND,
        };
        fresh(unknown(), 200, &drafter).lengths[199]
    };
    assert!(last(100) >= last(1) && last(100) > 4);
}

#[test]
fn far_drafter_whose_round_trips_cost_more_than_it_brings_is_left_alone() {
    // Right half of the time, and three to six passes away: the next replies know.
    for trip in [150, 200, 300] {
        let drafter = Drafter {
            accepts: |round: usize| [0, 3, 0, 1, 0, 6, 1, 0][round % 8],
            token: 7 * MILLISECOND,
            trip: trip * MILLISECOND,
        };
        let (mut passes, mut known) = (Passes::new(cost()), unknown());
        let speeds = (0..10).map(|_| reply((&mut passes, &mut known), 64, &drafter).speed);
        let speeds: Vec<f64> = speeds.collect();
        let mean = speeds.iter().sum::<f64>() / 10.0;
        assert!(mean > 0.97, "{trip} ms: {speeds:?}");
    }
}

#[test]
fn waiting_costs_at_most_a_tenth_and_a_tenth_of_a_second_whatever_the_drafter_does() {
    // Blocks of a fixed length that never come in time, from a drafter that was quick before.
    for fixed in [None, Some(8)] {
        let mut pacer = Pacer::new(LIMITS, fixed);
        let mut known = seen(&[(8, 8); 40]);
        let (scene, mut waited) = (scene(0), 0.0);
        for _ in 0..200 {
            let wait = match pacer.wish(&known, &scene) {
                Wish::Draft { wait, .. } => wait,
                Wish::Plain | Wish::Probe { .. } => Duration::ZERO,
            };
            waited += wait.as_secs_f64();
            let round = Round {
                took: 50 * MILLISECOND + wait,
                waited: wait,
                pass: 50 * MILLISECOND,
                committed: 1,
                asked: true,
                block: BlockFate::Late {
                    latency: wait + MILLISECOND,
                },
            };
            pacer.observe(&round, &mut known, &scene);
        }
        assert!(waited <= 0.1 * 200.0 * 0.05 + 0.1 + 1e-9, "{waited}");
    }
}

#[test]
fn experience_of_others_is_where_a_session_begins() {
    let mut useless = seen(&[(4, 0); 50]);
    let mut pacer = Pacer::new(LIMITS, None);
    let round = Round {
        took: 50 * MILLISECOND,
        waited: Duration::ZERO,
        pass: 50 * MILLISECOND,
        committed: 1,
        asked: true,
        block: judged(3, 0, 21 * MILLISECOND, 21 * MILLISECOND),
    };
    // The first blocks show whether it is still so.
    for _ in 0..4 {
        let tokens = PROBE_TOKENS;
        assert_eq!(pacer.wish(&useless, &scene(0)), Wish::Probe { tokens });
        pacer.observe(&round, &mut useless, &scene(0));
    }
    assert_eq!(pacer.wish(&useless, &scene(0)), Wish::Plain);
    let good = seen(&[(4, 3), (4, 4), (4, 2), (4, 4), (4, 0)]);
    let wish = Pacer::new(LIMITS, None).wish(&good, &scene(0));
    assert!(matches!(wish, Wish::Draft { tokens: 2.., .. }), "{wish:?}");
}

#[test]
fn session_with_others_leaves_a_useless_drafter_alone_until_its_turn() {
    let mut useless = seen(&[(4, 0); 50]);
    let mut pacer = Pacer::new(LIMITS, None);
    let round = Round {
        took: 50 * MILLISECOND,
        waited: Duration::ZERO,
        pass: 50 * MILLISECOND,
        committed: 1,
        asked: false,
        block: BlockFate::None,
    };
    let plain = (0..300).take_while(|_| {
        let is_plain = pacer.wish(&useless, &scene(1)) == Wish::Plain;
        pacer.observe(&round, &mut useless, &scene(1));
        is_plain
    });
    assert_eq!(plain.count(), 16);
}

#[test]
fn probe_goes_on_while_there_is_nothing_to_propose_and_ends_where_nothing_comes() {
    for (fate, rounds) in [(BlockFate::Declined, 1000), (BlockFate::None, 33)] {
        let (mut pacer, mut known) = (Pacer::new(LIMITS, None), unknown());
        let round = Round {
            took: 50 * MILLISECOND,
            waited: Duration::ZERO,
            pass: 50 * MILLISECOND,
            committed: 1,
            asked: true,
            block: fate,
        };
        let probes = (0..1000).take_while(|_| {
            let is_probe = pacer.wish(&known, &scene(0)).is_probe();
            pacer.observe(&round, &mut known, &scene(0));
            is_probe
        });
        assert_eq!(probes.count(), rounds);
    }
}

#[test]
fn probes_of_methods_that_judge_by_distributions_are_verified() {
    let limits = Limits {
        judged_unseen: false,
        ..LIMITS
    };
    let wish = Pacer::new(limits, None).wish(&unknown(), &scene(0));
    assert!(
        matches!(
            wish,
            Wish::Draft {
                tokens: PROBE_TOKENS,
                ..
            }
        ),
        "{wish:?}"
    );
}

#[test]
fn switched_off_sessions_ask_for_nothing() {
    let known = seen(&[(4, 4); 50]);
    let off = Scene {
        may_draft: false,
        ..scene(7)
    };
    assert_eq!(Pacer::new(LIMITS, None).wish(&known, &off), Wish::Plain);
    // A request that names a length gets it.
    let fixed = Pacer::new(LIMITS, Some(5)).wish(&known, &off);
    assert!(matches!(
        fixed,
        Wish::Draft {
            tokens: 5,
            least_chance: 0.0,
            ..
        }
    ));
}

#[test]
fn rows_that_all_sessions_wait_for_need_a_higher_probability() {
    let least = |others| {
        let wish = Pacer::new(LIMITS, None).wish(&seen(&[(4, 4); 50]), &scene(others));
        match wish {
            Wish::Draft { least_chance, .. } => least_chance,
            other => panic!("{other:?}"),
        }
    };
    // 8 ms of 50, and twice 8 of 58.
    assert!((least(0) - 0.16).abs() < 0.03, "{}", least(0));
    assert!((least(1) - 0.28).abs() < 0.05, "{}", least(1));
}

#[test]
fn what_pays_alone_need_not_pay_where_all_sessions_share_a_pass() {
    // Eight rows take 106 ms, so a further row costs nearly what its token is worth.
    let blocks: Vec<_> = (0..100)
        .map(|round| (4, if round % 5 < 2 { 4 } else { 0 }))
        .collect();
    let known = seen(&blocks);
    assert!(Pacer::new(LIMITS, None).wish(&known, &scene(0)).tokens() > 0);
    assert_eq!(
        Pacer::new(LIMITS, None).wish(&known, &scene(7)),
        Wish::Plain
    );
}

#[test]
fn block_that_misses_passes_is_worth_what_it_says_after_their_tokens() {
    // Passes of 100 ms whatever their rows, seven others, a drafter that is always right.
    let cost = VerifyCost::measured(&[(1, 100 * MILLISECOND), (64, 100 * MILLISECOND)]);
    let scene = Scene { cost, ..scene(7) };
    let tokens = |milliseconds: u32, drafted: f64| {
        let mut known = unknown();
        for _ in 0..300 {
            known.tally.observe(8, 8, SHARED_MEMORY);
        }
        let compute = milliseconds * MILLISECOND;
        known.cost.observe(4, compute, Some(compute));
        let pacer = Pacer::new(LIMITS, None);
        let chances = pacer.tally.chances(&known.tally);
        let missed = missed_passes(&known, &scene, drafted);
        let speed = pacer.speed(&known, &scene, (chances, drafted));
        (speed * 0.1 * (1.0 + missed), missed)
    };
    for (milliseconds, drafted, expected) in [
        (0, 1.0, (2.0, 0.0)),
        (0, 4.0, (5.0, 0.0)),
        (90, 4.0, (5.0, 1.0)),
        (190, 4.0, (5.0, 2.0)),
    ] {
        let found = tokens(milliseconds, drafted);
        assert!(
            (found.0 - expected.0).abs() < 0.3 && (found.1 - expected.1).abs() < 1e-9,
            "{milliseconds} ms: {found:?}"
        );
    }
}

#[test]
fn drafting_begins_where_others_leave() {
    let blocks: Vec<_> = (0..40)
        .map(|round| (4, if round % 5 < 2 { 4 } else { 0 }))
        .collect();
    let (mut pacer, mut known) = (Pacer::new(LIMITS, None), seen(&blocks));
    let round = Round {
        took: 50 * MILLISECOND,
        waited: Duration::ZERO,
        pass: 50 * MILLISECOND,
        committed: 1,
        asked: false,
        block: BlockFate::None,
    };
    pacer.observe(&round, &mut known, &scene(7));
    assert_eq!(pacer.wish(&known, &scene(7)), Wish::Plain);
    pacer.observe(&round, &mut known, &scene(0));
    assert!(pacer.wish(&known, &scene(0)).tokens() > 0);
}

#[test]
fn bad_luck_at_the_beginning_does_not_keep_blocks_short() {
    for seed in 1..=20 {
        let (mut passes, mut known) = (Passes::new(cost()), unknown());
        let mut speeds = Vec::new();
        for text in 0..30 {
            // Each draft token is accepted with probability 0.9, by a hash of its place.
            let accepts = move |round: usize| {
                let place = [seed, text, round as u64].map(|part| part << 8);
                let is_accepted = |token: &u64| hash(&place, *token) > 0.1;
                (0..99).take_while(is_accepted).count()
            };
            speeds.push(reply((&mut passes, &mut known), 25, &near(accepts)).speed);
        }
        let mean = speeds.iter().sum::<f64>() / 30.0;
        assert!(mean > 1.7, "{seed}: {mean}");
    }
}

#[test]
fn measured_gain_counts_more_than_what_the_estimates_promise() {
    // The chain misses every time, and alternatives, which the estimates leave out, are accepted instead.
    for (committed, drafts) in [(3, true), (1, false)] {
        let (mut pacer, mut known) = (Pacer::new(LIMITS, None), seen(&[(4, 4); 50]));
        let round = Round {
            took: 70 * MILLISECOND,
            waited: 10 * MILLISECOND,
            pass: 60 * MILLISECOND,
            committed,
            asked: true,
            block: judged(2, 0, 7 * MILLISECOND, 10 * MILLISECOND),
        };
        for _ in 0..40 {
            pacer.observe(&round, &mut known, &scene(0));
        }
        let wish = pacer.wish(&known, &scene(0));
        assert_eq!(matches!(wish, Wish::Draft { .. }), drafts, "{wish:?}");
    }
}

/// A number from 0 to 1.
fn hash(place: &[u64; 3], token: u64) -> f64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    (place, token).hash(&mut hasher);
    hasher.finish() as f64 / u64::MAX as f64
}
