//! `CheckPair`: a drafter's vocabulary becomes a report; a drafter without one is an error.

use proto::{
    ClientError,
    verifier::{CheckPair, CheckedPair, PairFit},
};
use tonic::{Code, Request, Status};

use crate::{
    drafters::{Kind, Running},
    harness::Process,
};

async fn check(process: &Process, drafter: Option<&str>) -> Result<CheckedPair, Status> {
    let request = CheckPair {
        drafter: drafter.map(str::to_owned),
    };
    let checked = process
        .client
        .clone()
        .check_pair(Request::new(request))
        .await;
    checked.map_err(|error| match error {
        ClientError::Status(status) => status,
        other => panic!("{other}"),
    })
}

#[tokio::test]
async fn drafter_is_compared_by_the_vocabulary_that_it_sends() {
    let drafter = Running::start(Kind::Honest).await;
    let process = Process::endless(&[&drafter.address]).await;
    for asked in [None, Some(drafter.address.as_str())] {
        let checked = check(&process, asked).await.unwrap();
        assert_eq!(checked.address, drafter.address);
        let report = checked.report;
        let (target, drafter) = (&report.target, &report.drafter);
        assert_eq!(
            (target.name.as_str(), drafter.name.as_str()),
            ("tiny", "oracle")
        );
        assert_eq!((drafter.vocabulary_size, drafter.spellings), (132, 130));
        assert_eq!(
            (drafter.end_of_turn_tokens, drafter.end_of_sequence_tokens),
            (1, 0)
        );
        // The space has two tokens and counts once.
        assert_eq!(report.shared_spellings, 130);
        assert!(!report.exact_draft_tokens);
        // The drafter has no token for most of the hard text.
        assert_eq!(report.fit, PairFit::Unusable, "{}", report.verdict);
        let code = report.round_trips.iter().find(|trip| trip.text == "code");
        let code = code.unwrap();
        assert_eq!(
            (code.lost_bytes, code.unspelled_bytes, code.dropped_bytes),
            (0, 0, 0)
        );
    }
}

#[tokio::test]
async fn pair_that_cannot_be_checked_is_an_error_with_its_cause() {
    let alone = Process::endless(&[]).await;
    let status = check(&alone, None).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status}");
    let (lying, old) = (Kind::InvalidEnds, Kind::Useless);
    for (kind, said) in [(lying, "token_ends"), (old, "an old drafter")] {
        let drafter = Running::start(kind).await;
        let process = Process::endless(&[&drafter.address]).await;
        let status = check(&process, None).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(status.message().contains(said), "{status}");
        let status = check(&process, Some("http://elsewhere:1"))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.message().contains("http://elsewhere:1"), "{status}");
    }
}
