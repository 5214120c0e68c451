//! The report on a pair, as a table and as JSON.

use std::fmt;

use proto::verifier::{PairAcceptance, PairReport, PairSide, RoundTrip};
use serde_json::{Value, json};

/// A report as people read it.
pub(super) struct Table<'a>(pub(super) &'a PairReport);

/// One object, as `--json` prints it.
pub(super) fn json(report: &PairReport) -> Value {
    let mapping = &report.mapping;
    let total = mapping.total();
    json!({
        "fit": report.fit.name(),
        "verdict": report.verdict,
        "target": side(&report.target, report.shared_spellings),
        "drafter": side(&report.drafter, report.shared_spellings),
        "shared_spellings": report.shared_spellings,
        "same_tokenizer": report.target.fingerprint == report.drafter.fingerprint,
        "exact_draft_tokens": report.exact_draft_tokens,
        "round_trips": report.round_trips.iter().map(round_trip).collect::<Vec<_>>(),
        "mapping": {
            "draft_tokens": total,
            "one_to_one": share(mapping.one_to_one, total),
            "one_to_many": share(mapping.one_to_many, total),
            "many_to_one": share(mapping.many_to_one, total),
            "many_to_many": share(mapping.many_to_many, total),
        },
        "methods": report.methods.iter().map(|method| json!({
            "name": method.name,
            "fits": method.fits,
            "share": method.share,
            "reason": method.reason,
        })).collect::<Vec<_>>(),
        "acceptance": report.acceptance.as_ref().map(acceptance),
    })
}

fn side(side: &PairSide, shared: u32) -> Value {
    json!({
        "name": side.name,
        "tokenizer": side.family,
        "fingerprint": side.fingerprint.to_string(),
        "vocabulary_size": side.vocabulary_size,
        "spellings": side.spellings,
        "shared": share(shared, side.spellings),
        "end_of_sequence_tokens": side.end_of_sequence_tokens,
        "end_of_turn_tokens": side.end_of_turn_tokens,
    })
}

fn round_trip(trip: &RoundTrip) -> Value {
    json!({
        "text": trip.text,
        "bytes": trip.bytes,
        "unspelled_bytes": trip.unspelled_bytes,
        "draft_tokens": trip.draft_tokens,
        "blocks": trip.blocks,
        "whole_blocks": trip.whole_blocks,
        "candidates": trip.candidates,
        "block_bytes": trip.block_bytes,
        "dropped_bytes": trip.dropped_bytes,
        "lost_bytes": trip.lost_bytes,
    })
}

fn acceptance(found: &PairAcceptance) -> Value {
    json!({
        "prompts": found.prompts,
        "completion_tokens": found.completion_tokens,
        "committed_bytes": found.committed_bytes,
        "target_forwards": found.target_forwards,
        "proposed_tokens": found.proposed_tokens,
        "accepted_tokens": found.accepted_tokens,
        "accepted_per_forward": accepted_per_forward(found),
        "committed_bytes_per_forward": bytes_per_forward(found),
    })
}

fn accepted_per_forward(found: &PairAcceptance) -> f64 {
    f64::from(found.accepted_tokens) / f64::from(found.target_forwards.max(1))
}

fn bytes_per_forward(found: &PairAcceptance) -> f64 {
    found.committed_bytes as f64 / f64::from(found.target_forwards.max(1))
}

fn share(part: u32, whole: u32) -> f64 {
    f64::from(part) / f64::from(whole.max(1))
}

fn percent(part: u32, whole: u32) -> String {
    format!("{:.1} %", 100.0 * share(part, whole))
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        sides(f, report)?;
        round_trips(f, report)?;
        let mapping = &report.mapping;
        let total = mapping.total();
        writeln!(
            f,
            "\ndraft tokens to target tokens: 1:1 {}, 1:n {}, n:1 {}, n:m {}",
            percent(mapping.one_to_one, total),
            percent(mapping.one_to_many, total),
            percent(mapping.many_to_one, total),
            percent(mapping.many_to_many, total),
        )?;
        writeln!(f, "\n{:<18}{:>6}{:>9}  why", "method", "fits", "share")?;
        for method in &report.methods {
            let fits = if method.fits { "yes" } else { "no" };
            let share = format!("{:.1} %", 100.0 * method.share);
            let (name, reason) = (&method.name, &method.reason);
            writeln!(f, "{name:<18}{fits:>6}{share:>9}  {reason}")?;
        }
        if let Some(found) = &report.acceptance {
            writeln!(
                f,
                "\nsampled, greedily: {} tokens over {} prompts, {} of {} proposed accepted, {:.2} per target forward, {:.2} \
                 bytes per target forward",
                found.completion_tokens,
                found.prompts,
                found.accepted_tokens,
                found.proposed_tokens,
                accepted_per_forward(found),
                bytes_per_forward(found),
            )?;
        }
        write!(f, "\n{}", report.verdict)
    }
}

fn sides(f: &mut fmt::Formatter<'_>, report: &PairReport) -> fmt::Result {
    let (target, drafter) = (&report.target, &report.drafter);
    let shared = |side: &PairSide| {
        let share = percent(report.shared_spellings, side.spellings);
        format!("{} ({share})", report.shared_spellings)
    };
    let ends = |tokens: u32| match tokens {
        0 => "none".to_owned(),
        tokens => tokens.to_string(),
    };
    let rows: [(&str, String, String); 7] = [
        ("", "target".to_owned(), "drafter".to_owned()),
        ("name", target.name.clone(), drafter.name.clone()),
        ("tokenizer", target.family.clone(), drafter.family.clone()),
        (
            "vocabulary",
            target.vocabulary_size.to_string(),
            drafter.vocabulary_size.to_string(),
        ),
        ("shared by bytes", shared(target), shared(drafter)),
        (
            "ends of sequence",
            ends(target.end_of_sequence_tokens),
            ends(drafter.end_of_sequence_tokens),
        ),
        (
            "ends of turn",
            ends(target.end_of_turn_tokens),
            ends(drafter.end_of_turn_tokens),
        ),
    ];
    for (name, target, drafter) in rows {
        writeln!(f, "{name:<18}{target:>34}{drafter:>34}")?;
    }
    Ok(())
}

fn round_trips(f: &mut fmt::Formatter<'_>, report: &PairReport) -> fmt::Result {
    writeln!(
        f,
        "\n{:<24}{:>6}{:>8}{:>8}{:>8}{:>9}{:>9}{:>7}",
        "text", "bytes", "drafts", "blocks", "whole", "candidates", "dropped", "lost"
    )?;
    for trip in &report.round_trips {
        writeln!(
            f,
            "{:<24}{:>6}{:>8}{:>8}{:>8}{:>9}{:>9}{:>7}",
            trip.text,
            trip.bytes,
            trip.draft_tokens,
            trip.blocks,
            trip.whole_blocks,
            trip.candidates,
            trip.dropped_bytes,
            trip.lost_bytes + trip.unspelled_bytes,
        )?;
    }
    if !report.exact_draft_tokens {
        writeln!(f, "draft tokens are the longest that fit")?;
    }
    Ok(())
}
