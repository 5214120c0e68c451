//! The verdict of a report in one sentence, with its reasons.

use proto::verifier::{PairFit, PairReport};

/// Share of lost bytes above which a pair is unusable.
const LOST: f64 = 0.25;
/// Share of lost bytes above which a pair is poor.
const SPOILT: f64 = 0.02;
/// Share of a block's bytes below which a pair is poor, of those that become target tokens at once.
const SPELLED: f64 = 0.75;
/// Accepted tokens per pass of the target below which a pair is poor: a round trip, or the rows, cost more than they save.
const ACCEPTED: f64 = 0.3;

/// The report with its verdict.
pub(super) fn judged(report: PairReport) -> PairReport {
    let numbers = Numbers::of(&report);
    let fit = numbers.fit();
    let verdict = numbers.sentence(fit);
    PairReport {
        fit,
        verdict,
        ..report
    }
}

/// The numbers that decide.
struct Numbers {
    same: bool,
    /// Bytes of all texts; `lost_bytes` of them cannot be spelled by both vocabularies.
    bytes: u32,
    lost_bytes: u32,
    /// Share of the blocks' bytes that candidates spell.
    spelled: f64,
    /// Share of the draft tokens that become one target token.
    one_to_one: f64,
    /// True if the drafter knows ends of replies and the target has tokens for them.
    ends_cross: bool,
    /// Accepted draft tokens per pass of the target.
    accepted: Option<f64>,
}

impl Numbers {
    fn of(report: &PairReport) -> Self {
        let mut bytes = [0_u32; 2];
        let mut sent = [0_u32; 2];
        for trip in &report.round_trips {
            bytes[0] += trip.lost_bytes + trip.unspelled_bytes;
            bytes[1] += trip.bytes;
            sent[0] += trip.block_bytes.saturating_sub(trip.dropped_bytes);
            sent[1] += trip.block_bytes;
        }
        let share = |[part, whole]: [u32; 2]| f64::from(part) / f64::from(whole.max(1));
        let (target, drafter) = (&report.target, &report.drafter);
        let ends = |side: &proto::verifier::PairSide| {
            side.end_of_sequence_tokens + side.end_of_turn_tokens > 0
        };
        Self {
            same: target.fingerprint == drafter.fingerprint,
            lost_bytes: bytes[0],
            bytes: bytes[1],
            spelled: share(sent),
            one_to_one: share([report.mapping.one_to_one, report.mapping.total()]),
            ends_cross: ends(target) && ends(drafter),
            accepted: report.acceptance.map(|found| {
                f64::from(found.accepted_tokens) / f64::from(found.target_forwards.max(1))
            }),
        }
    }

    fn fit(&self) -> PairFit {
        let lost = f64::from(self.lost_bytes) / f64::from(self.bytes.max(1));
        if lost > LOST || self.spelled == 0.0 {
            PairFit::Unusable
        } else if lost > SPOILT
            || self.spelled < SPELLED
            || self.accepted.is_some_and(|accepted| accepted < ACCEPTED)
        {
            PairFit::Poor
        } else {
            PairFit::Compatible
        }
    }

    fn sentence(&self, fit: PairFit) -> String {
        let (spelled, one) = (100.0 * self.spelled, 100.0 * self.one_to_one);
        let mut reasons = vec![if self.same {
            "both have the same tokenizer".to_owned()
        } else {
            format!(
                "{spelled:.1} % of the bytes drafted of hard text become target tokens at once, {one:.0} % of its draft \
                 tokens are one target token"
            )
        }];
        if self.lost_bytes > 0 {
            let (lost, bytes) = (self.lost_bytes, self.bytes);
            reasons.push(format!(
                "{lost} of its {bytes} bytes cannot be spelled by both"
            ));
        }
        if !self.ends_cross {
            reasons.push("ends of replies cannot be drafted".to_owned());
        }
        reasons.push(match self.accepted {
            Some(accepted) => {
                format!("{accepted:.2} drafted tokens are accepted per target forward")
            }
            None => "acceptance was not sampled".to_owned(),
        });
        format!("{}: {}", fit.name(), reasons.join(", "))
    }
}
