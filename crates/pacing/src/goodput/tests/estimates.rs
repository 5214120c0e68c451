//! What the length is chosen by: chances, what passes cost, how long blocks take.

use super::*;

#[test]
fn chances_follow_the_position() {
    let mut survival = Survival::default();
    for round in 0..100 {
        // Every other block misses at once, the others never.
        survival.observe(8, if round % 2 == 0 { 0 } else { 8 });
    }
    assert!((survival.chance(1) - 0.5).abs() < 0.1);
    assert!(survival.chance(4) > 0.9);
}

#[test]
fn step_from_one_row_to_several_does_not_make_long_blocks_look_dear() {
    // 50 ms for one row, 60 for two, and 4 for each further one; only blocks of one and two tokens are seen.
    let mut cost = VerifyCost::default();
    for round in 0..300 {
        let rows = 1 + round % 3;
        let took = if rows == 1 { 50 } else { 52 + 4 * rows as u32 };
        cost.observe(rows, took * MILLISECOND);
    }
    let in_first = |rows| cost.predict(rows) / cost.predict(1.0);
    assert!((in_first(2.0) - 1.2).abs() < 0.03, "{}", in_first(2.0));
    assert!((in_first(5.0) - 1.44).abs() < 0.15, "{}", in_first(5.0));
}

#[test]
fn rows_of_many_sessions_cost_what_they_compute() {
    // As measured of a model of 1.5 billion on one core: about 5 ms a row up to five, about 10 from there on.
    let took = [
        46, 53, 58, 64, 68, 78, 87, 96, 106, 116, 126, 136, 146, 156, 166, 177,
    ];
    let mut cost = VerifyCost::default();
    for round in 0..600 {
        let rows = 1 + round * 7 % 16;
        cost.observe(rows, took[rows - 1] * MILLISECOND);
    }
    let row = |rows: f64| (cost.predict(rows + 1.0) - cost.predict(rows)) / cost.predict(1.0);
    assert!((row(3.0) - 0.12).abs() < 0.04, "{}", row(3.0));
    assert!((row(10.0) - 0.22).abs() < 0.04, "{}", row(10.0));
}

#[test]
fn costs_that_were_measured_are_those_that_are_predicted() {
    let took = |rows: usize| Duration::from_micros(20_000 + 50 * rows as u64);
    let passes = [1, 2, 4, 8, 16].map(|rows| (rows, took(rows)));
    let mut cost = VerifyCost::measured(&passes);
    for rows in [1, 3, 8, 40, 200] {
        let expected = took(rows).as_secs_f64();
        assert!(
            (cost.predict(rows as f64) - expected).abs() < 1e-6,
            "{rows}"
        );
    }
    // Only passes of many rows are seen, twice as slow: it is the machine, not the rows.
    for _ in 0..100 {
        cost.observe(40, 2 * took(40));
    }
    assert!((cost.predict(40.0) - 2.0 * took(40).as_secs_f64()).abs() < 1e-3);
    assert!((cost.predict(1.0) - 2.0 * took(1).as_secs_f64()).abs() < 0.008);
    // What says nothing is as good as nothing.
    for passes in [&passes[..1], &[(1, Duration::ZERO), (2, MILLISECOND)], &[]] {
        let nothing = VerifyCost::measured(passes);
        assert!((nothing.predict(4.0) - VerifyCost::default().predict(4.0)).abs() < 1e-9);
    }
}

#[test]
fn what_is_not_tried_is_not_forgotten() {
    let mut survival = Survival::default();
    for _ in 0..40 {
        survival.observe(6, 6);
    }
    let before = survival.chance(4);
    for round in 0..200 {
        survival.observe(1, round % 2);
    }
    assert!((survival.chance(1) - 0.5).abs() < 0.1);
    assert!(survival.chance(4) > before - 0.05, "{}", survival.chance(4));
    assert!(Survival::default().chance(4) > Survival::default().chance(1));
}

#[test]
fn last_token_of_a_block_says_nothing_of_those_before_it() {
    let mut survival = Survival::default();
    for _ in 0..100 {
        // The second token stands wherever it is not the last.
        survival.observe(2, 1);
        survival.observe(3, 2);
    }
    assert!(survival.chance(2) > 0.9);
    assert!(survival.last_chance(2) < 0.1 && survival.last_chance(3) < 0.1);
    let stand: Vec<f64> = survival.stand(0.0).take(3).map(|stand| stand.all).collect();
    assert!(
        (stand[1] - 1.0).abs() < 0.15 && (stand[2] - 2.0).abs() < 0.2,
        "{stand:?}"
    );
}

#[test]
fn costs_follow_the_load_and_keep_their_shape() {
    let mut cost = costs();
    let shape = cost.predict(5.0) / cost.predict(1.0);
    assert!((shape - 82.0 / 50.0).abs() < 0.1, "{shape}");
    // The machine gets twice as slow while only plain rounds are seen.
    for _ in 0..60 {
        cost.observe(1, 100 * MILLISECOND);
    }
    assert!((cost.predict(1.0) - 0.1).abs() < 0.002);
    assert!((cost.predict(5.0) / cost.predict(1.0) - shape).abs() < 1e-9);
    // A pass that cost nothing, or had no rows, says nothing.
    cost.observe(4, Duration::ZERO);
    cost.observe(0, 100 * MILLISECOND);
    assert!((cost.predict(1.0) - 0.1).abs() < 0.002);
}

#[test]
fn longer_block_is_waited_for_longer_by_the_part_that_was_seen() {
    let waits = |latency: u32| {
        let mut draft = DraftCost::default();
        draft.observe(4, 40 * MILLISECOND, Some(latency * MILLISECOND));
        (draft.wait(4.0), draft.wait(8.0))
    };
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found}");
    // Nothing of it was hidden, or less than nothing: a round trip comes on top.
    let (four, eight) = waits(50);
    close(four, 0.05);
    close(eight, 0.09);
    let (four, eight) = waits(10);
    close(four, 0.01);
    close(eight, 0.02);
    let (four, eight) = waits(0);
    close(four, 0.0);
    close(eight, 0.0);
}

#[test]
fn first_block_of_a_session_says_what_a_token_costs_and_not_how_long_blocks_take() {
    let mut draft = DraftCost::default();
    draft.observe(4, 40 * MILLISECOND, None);
    assert!((draft.wait(4.0) - 0.04).abs() < 1e-6);
    draft.observe(4, 40 * MILLISECOND, Some(10 * MILLISECOND));
    assert!((draft.wait(4.0) - 0.01).abs() < 1e-6);
}
