//! Choice of a session's drafter, and the reason for having none.

use super::*;

const GREEDY: Wanted<'_> = Wanted {
    method: "greedy",
    vocabulary: None,
};

fn drafters(count: usize) -> Drafters {
    let addresses: Vec<String> = (1..=count).map(|port| format!("http://h:{port}")).collect();
    Drafters::new(&addresses, pacing::DeadlineOptions::default()).unwrap()
}

#[tokio::test]
async fn sessions_spread_over_drafters_and_avoid_one_that_fails() {
    let drafters = drafters(2);
    let first = drafters.lease(GREEDY).unwrap();
    let second = drafters.lease(GREEDY).unwrap();
    assert_ne!(first.drafter.address, second.drafter.address);
    first.failed("garbage");
    drop((first, second));
    let again = drafters.lease(GREEDY).unwrap();
    assert_eq!(again.drafter.address, "http://h:2");
    let sessions = |d: &Drafters| d.status().iter().map(|s| s.sessions).collect::<Vec<_>>();
    assert_eq!(sessions(&drafters), [0, 1]);
    drop(again);
    assert_eq!(sessions(&drafters), [0, 0]);
}

#[tokio::test]
async fn drafter_is_found_by_its_address_or_by_its_use() {
    let drafters = drafters(3);
    let address = |address| drafters.find(address).map(|(address, _)| address);
    assert_eq!(address(Some("http://h:3")).unwrap(), "http://h:3");
    assert_eq!(address(Some("http://h:4")), None);
    assert_eq!(address(None).unwrap(), "http://h:1");
    drafters.all[1].known().reach = Reach::Reached;
    assert_eq!(address(None).unwrap(), "http://h:2");
}

#[tokio::test]
async fn reason_tells_none_from_left_alone() {
    let reason = |drafters: &Drafters| drafters.lease(GREEDY).unwrap_err();
    assert_eq!(reason(&drafters(0)), FallbackReason::NoDrafter);
    let drafters = drafters(1);
    for _ in 0..3 {
        drafters.lease(GREEDY).unwrap().failed("garbage");
    }
    assert_eq!(reason(&drafters), FallbackReason::BreakerOpen);
    assert_eq!(drafters.status()[0].state, DrafterState::BreakerOpen);
    assert_eq!(drafters.status()[0].last_error.as_deref(), Some("garbage"));
}

#[tokio::test]
async fn lost_drafter_is_not_tried_until_it_is_back() {
    let drafters = drafters(1);
    drafters.lease(GREEDY).unwrap().lost("connection refused");
    assert_eq!(
        drafters.lease(GREEDY).unwrap_err(),
        FallbackReason::NoDrafter
    );
    assert_eq!(drafters.status()[0].state, DrafterState::Unreachable);
}

#[tokio::test]
async fn session_that_needs_a_vocabulary_passes_over_drafters_that_have_another() {
    let drafters = drafters(2);
    let (wanted, other) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
    let standard = Wanted {
        method: "standard",
        vocabulary: Some(wanted),
    };
    let first = drafters.lease(standard).unwrap();
    first.described(other);
    let address = first.drafter.address.clone();
    drop(first);
    let second = drafters.lease(standard).unwrap();
    assert_ne!(second.drafter.address, address);
    second.described(wanted);
    drop(second);
    assert_ne!(drafters.lease(standard).unwrap().drafter.address, address);
    for drafter in drafters.all.iter() {
        drafter.known().fingerprint = Some(other);
    }
    let refused = drafters.lease(standard).unwrap_err();
    assert_eq!(refused, FallbackReason::NoDrafter);
    assert!(drafters.lease(GREEDY).is_ok());
}
