//! Reports on the wire and back.

use super::{
    CheckPair, CheckedPair, Mapping, MethodFit, PairAcceptance, PairFit, PairReport, PairSide,
    RoundTrip,
};
use crate::{ProtocolError, check, limits, wire::verifier::v1 as wire};

impl TryFrom<wire::CheckPairRequest> for CheckPair {
    type Error = ProtocolError;

    fn try_from(request: wire::CheckPairRequest) -> Result<Self, ProtocolError> {
        let drafter = request.drafter;
        check::size(
            "drafter",
            drafter.len(),
            0..=limits::MAX_ADDRESS_BYTES,
            "bytes",
        )?;
        let drafter = Some(drafter).filter(|address| !address.is_empty());
        Ok(Self { drafter })
    }
}

impl From<CheckPair> for wire::CheckPairRequest {
    fn from(request: CheckPair) -> Self {
        Self {
            drafter: request.drafter.unwrap_or_default(),
        }
    }
}

impl TryFrom<wire::CheckPairResponse> for CheckedPair {
    type Error = ProtocolError;

    fn try_from(response: wire::CheckPairResponse) -> Result<Self, ProtocolError> {
        let most = limits::MAX_ADDRESS_BYTES;
        check::size("address", response.address.len(), 1..=most, "bytes")?;
        let report = check::required("report", response.report, "present")?;
        Ok(Self {
            address: response.address,
            report: PairReport::try_from(report).map_err(|e| e.within("report"))?,
        })
    }
}

impl From<CheckedPair> for wire::CheckPairResponse {
    fn from(checked: CheckedPair) -> Self {
        Self {
            address: checked.address,
            report: Some(checked.report.into()),
        }
    }
}

impl TryFrom<wire::PairReport> for PairReport {
    type Error = ProtocolError;

    fn try_from(report: wire::PairReport) -> Result<Self, ProtocolError> {
        let side = |field: &str, side: Option<wire::PairSide>| {
            let side = check::required(field, side, "present")?;
            PairSide::try_from(side).map_err(|e| e.within(field))
        };
        let fit = match check::known("fit", report.fit)? {
            wire::PairFit::Unspecified => return Err(check::unspecified("fit", report.fit)),
            wire::PairFit::Compatible => PairFit::Compatible,
            wire::PairFit::Poor => PairFit::Poor,
            wire::PairFit::Unusable => PairFit::Unusable,
        };
        let mapping = check::required("mapping", report.mapping, "present")?;
        let acceptance = report.acceptance.map(PairAcceptance::try_from);
        Ok(Self {
            target: side("target", report.target)?,
            drafter: side("drafter", report.drafter)?,
            shared_spellings: report.shared_spellings,
            exact_draft_tokens: report.exact_draft_tokens,
            round_trips: entries("round_trips", report.round_trips, 1)?,
            mapping: mapping.into(),
            methods: entries("methods", report.methods, 0)?,
            fit,
            verdict: report.verdict,
            acceptance: acceptance.transpose().map_err(|e| e.within("acceptance"))?,
        })
    }
}

/// Checked entries of a repeated field, of which there are `least` or more.
fn entries<W, T: TryFrom<W, Error = ProtocolError>>(
    field: &str,
    entries: Vec<W>,
    least: usize,
) -> Result<Vec<T>, ProtocolError> {
    check::size(
        field,
        entries.len(),
        least..=limits::MAX_PAIR_ENTRIES,
        "entries",
    )?;
    let entries = entries.into_iter().enumerate();
    entries
        .map(|(i, entry)| T::try_from(entry).map_err(|e| e.within(&format!("{field}[{i}]"))))
        .collect()
}

impl From<PairReport> for wire::PairReport {
    fn from(report: PairReport) -> Self {
        let fit = match report.fit {
            PairFit::Compatible => wire::PairFit::Compatible,
            PairFit::Poor => wire::PairFit::Poor,
            PairFit::Unusable => wire::PairFit::Unusable,
        };
        Self {
            target: Some(report.target.into()),
            drafter: Some(report.drafter.into()),
            shared_spellings: report.shared_spellings,
            exact_draft_tokens: report.exact_draft_tokens,
            round_trips: report.round_trips.into_iter().map(Into::into).collect(),
            mapping: Some(report.mapping.into()),
            methods: report.methods.into_iter().map(Into::into).collect(),
            fit: fit.into(),
            verdict: report.verdict,
            acceptance: report.acceptance.map(Into::into),
        }
    }
}

impl TryFrom<wire::PairSide> for PairSide {
    type Error = ProtocolError;

    fn try_from(side: wire::PairSide) -> Result<Self, ProtocolError> {
        check::size("name", side.name.len(), 1..=4096, "bytes")?;
        let ids = side.vocabulary_size;
        Ok(Self {
            fingerprint: crate::model::Fingerprint(check::fingerprint(
                "fingerprint",
                &side.fingerprint,
            )?),
            vocabulary_size: check::within("vocabulary_size", ids, 1..=u32::MAX)?,
            spellings: check::within("spellings", side.spellings, 0..=ids)?,
            name: side.name,
            family: side.family,
            end_of_sequence_tokens: side.end_of_sequence_tokens,
            end_of_turn_tokens: side.end_of_turn_tokens,
        })
    }
}

impl From<PairSide> for wire::PairSide {
    fn from(side: PairSide) -> Self {
        Self {
            name: side.name,
            family: side.family,
            fingerprint: side.fingerprint.0.to_vec(),
            vocabulary_size: side.vocabulary_size,
            spellings: side.spellings,
            end_of_sequence_tokens: side.end_of_sequence_tokens,
            end_of_turn_tokens: side.end_of_turn_tokens,
        }
    }
}

impl TryFrom<wire::RoundTrip> for RoundTrip {
    type Error = ProtocolError;

    fn try_from(trip: wire::RoundTrip) -> Result<Self, ProtocolError> {
        check::size("text", trip.text.len(), 1..=limits::MAX_ID_BYTES, "bytes")?;
        let bytes = trip.bytes;
        Ok(Self {
            text: trip.text,
            bytes,
            unspelled_bytes: check::within("unspelled_bytes", trip.unspelled_bytes, 0..=bytes)?,
            draft_tokens: trip.draft_tokens,
            blocks: trip.blocks,
            whole_blocks: check::within("whole_blocks", trip.whole_blocks, 0..=trip.blocks)?,
            candidates: trip.candidates,
            block_bytes: trip.block_bytes,
            dropped_bytes: check::within(
                "dropped_bytes",
                trip.dropped_bytes,
                0..=trip.block_bytes,
            )?,
            lost_bytes: check::within("lost_bytes", trip.lost_bytes, 0..=bytes)?,
        })
    }
}

impl From<RoundTrip> for wire::RoundTrip {
    fn from(trip: RoundTrip) -> Self {
        Self {
            text: trip.text,
            bytes: trip.bytes,
            unspelled_bytes: trip.unspelled_bytes,
            draft_tokens: trip.draft_tokens,
            blocks: trip.blocks,
            whole_blocks: trip.whole_blocks,
            candidates: trip.candidates,
            block_bytes: trip.block_bytes,
            dropped_bytes: trip.dropped_bytes,
            lost_bytes: trip.lost_bytes,
        }
    }
}

impl From<wire::Mapping> for Mapping {
    fn from(mapping: wire::Mapping) -> Self {
        Self {
            one_to_one: mapping.one_to_one,
            one_to_many: mapping.one_to_many,
            many_to_one: mapping.many_to_one,
            many_to_many: mapping.many_to_many,
        }
    }
}

impl From<Mapping> for wire::Mapping {
    fn from(mapping: Mapping) -> Self {
        Self {
            one_to_one: mapping.one_to_one,
            one_to_many: mapping.one_to_many,
            many_to_one: mapping.many_to_one,
            many_to_many: mapping.many_to_many,
        }
    }
}

impl TryFrom<wire::MethodFit> for MethodFit {
    type Error = ProtocolError;

    fn try_from(fit: wire::MethodFit) -> Result<Self, ProtocolError> {
        Ok(Self {
            name: check::method("name", fit.name)?,
            fits: fit.fits,
            share: check::within("share", fit.share, 0.0..=1.0)?,
            reason: fit.reason,
        })
    }
}

impl From<MethodFit> for wire::MethodFit {
    fn from(fit: MethodFit) -> Self {
        Self {
            name: fit.name,
            fits: fit.fits,
            share: fit.share,
            reason: fit.reason,
        }
    }
}

impl TryFrom<wire::PairAcceptance> for PairAcceptance {
    type Error = ProtocolError;

    fn try_from(found: wire::PairAcceptance) -> Result<Self, ProtocolError> {
        let (forwards, proposed) = (found.target_forwards, found.proposed_tokens);
        Ok(Self {
            prompts: found.prompts,
            completion_tokens: found.completion_tokens,
            committed_bytes: found.committed_bytes,
            target_forwards: check::within("target_forwards", forwards, 1..=u32::MAX)?,
            proposed_tokens: proposed,
            accepted_tokens: check::within("accepted_tokens", found.accepted_tokens, 0..=proposed)?,
        })
    }
}

impl From<PairAcceptance> for wire::PairAcceptance {
    fn from(found: PairAcceptance) -> Self {
        Self {
            prompts: found.prompts,
            completion_tokens: found.completion_tokens,
            committed_bytes: found.committed_bytes,
            target_forwards: found.target_forwards,
            proposed_tokens: found.proposed_tokens,
            accepted_tokens: found.accepted_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fingerprint;

    fn side(name: &str) -> PairSide {
        PairSide {
            name: name.to_owned(),
            family: "byte-level BPE (qwen2)".to_owned(),
            fingerprint: Fingerprint([1; 32]),
            vocabulary_size: 9,
            spellings: 8,
            end_of_sequence_tokens: 1,
            end_of_turn_tokens: 0,
        }
    }

    fn checked() -> CheckedPair {
        let trip = RoundTrip {
            text: "code".to_owned(),
            bytes: 10,
            unspelled_bytes: 1,
            draft_tokens: 4,
            blocks: 2,
            whole_blocks: 1,
            candidates: 3,
            block_bytes: 14,
            dropped_bytes: 12,
            lost_bytes: 2,
        };
        let method = MethodFit {
            name: "tli".to_owned(),
            fits: true,
            share: 0.75,
            reason: "shared".to_owned(),
        };
        CheckedPair {
            address: "http://h:1".to_owned(),
            report: PairReport {
                target: side("a"),
                drafter: side("b"),
                shared_spellings: 5,
                exact_draft_tokens: true,
                round_trips: vec![trip],
                mapping: Mapping {
                    one_to_one: 1,
                    one_to_many: 2,
                    many_to_one: 3,
                    many_to_many: 4,
                },
                methods: vec![method],
                fit: PairFit::Poor,
                verdict: "poor: it is small".to_owned(),
                acceptance: Some(PairAcceptance {
                    prompts: 3,
                    completion_tokens: 30,
                    committed_bytes: 100,
                    target_forwards: 20,
                    proposed_tokens: 40,
                    accepted_tokens: 10,
                }),
            },
        }
    }

    #[test]
    fn report_survives_the_wire() {
        let sent = wire::CheckPairResponse::from(checked());
        assert_eq!(CheckedPair::try_from(sent), Ok(checked()));
        for drafter in [None, Some("http://h:1".to_owned())] {
            let request = CheckPair { drafter };
            let sent = wire::CheckPairRequest::from(request.clone());
            assert_eq!(CheckPair::try_from(sent), Ok(request));
        }
    }

    #[test]
    fn bad_fields_are_refused_by_name() {
        type Change = fn(&mut wire::PairReport);
        let wrong: [(&str, Change); 9] = [
            ("report.target is missing", |report| report.target = None),
            ("report.fit is 0", |report| report.fit = 0),
            ("report.fit is 9", |report| report.fit = 9),
            ("report.mapping is missing", |report| report.mapping = None),
            ("report.round_trips is 0", |report| {
                report.round_trips.clear();
            }),
            ("report.round_trips[0].whole_blocks is 3", |report| {
                report.round_trips[0].whole_blocks = 3;
            }),
            ("report.methods[0].share is NaN", |report| {
                report.methods[0].share = f64::NAN;
            }),
            ("report.methods[0].name is spelt", |report| {
                report.methods[0].name = "TLI".to_owned();
            }),
            ("report.acceptance.target_forwards is 0", |report| {
                report.acceptance = Some(wire::PairAcceptance::default());
            }),
        ];
        for (said, change) in wrong {
            let mut sent = wire::CheckPairResponse::from(checked());
            sent.report.iter_mut().for_each(change);
            let error = CheckedPair::try_from(sent).unwrap_err().to_string();
            assert!(error.starts_with(said), "{said}: {error}");
        }
        let drafter = "x".repeat(1025);
        let error = CheckPair::try_from(wire::CheckPairRequest { drafter }).unwrap_err();
        assert!(error.to_string().starts_with("drafter is 1025 bytes"));
    }
}
