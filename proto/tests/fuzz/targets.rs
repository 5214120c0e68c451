//! What is fuzzed: every message that enters from outside, from bytes to its domain type.

use std::fmt::Debug;

use prost::Message;
use proto::{
    ProtocolError, drafter,
    model::{Fingerprint, Prompt},
    verifier,
    wire::{drafter::v1 as drafter_wire, verifier::v1 as verifier_wire},
};

use crate::samples;

/// A target: its name, valid messages that inputs are made of, and what is done with an input.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) seeds: Vec<Vec<u8>>,
    pub(crate) run: fn(&[u8]),
}

/// Bytes may be no message, and a message may break the specification. One that does not must survive the way out and back.
fn enters<W, D>(bytes: &[u8])
where
    W: Message + Default + From<D>,
    D: TryFrom<W, Error = ProtocolError> + Clone + Debug,
{
    let Ok(wire) = W::decode(bytes) else {
        return;
    };
    match D::try_from(wire) {
        Ok(domain) => {
            let again = W::from(domain.clone()).encode_to_vec();
            let again = W::decode(&again[..]).map(D::try_from);
            assert!(
                matches!(again, Ok(Ok(_))),
                "{domain:?} came back as {again:?}"
            );
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The same, and the ways of a tree have all of its bytes that they should, in order.
fn from_the_drafter(bytes: &[u8]) {
    enters::<drafter_wire::DraftResponse, drafter::FromDrafter>(bytes);
    let message = drafter_wire::DraftResponse::decode(bytes);
    let message = message.ok().map(drafter::FromDrafter::try_from);
    if let Some(Ok(drafter::FromDrafter::Block(block))) = message {
        let (chain, others) = block.ways();
        assert_eq!(chain.token_ends.len(), block.chain_tokens());
        assert!(block.text.starts_with(&chain.text));
        assert!(others.len() <= block.token_ends.len() - block.chain_tokens());
        for way in others.iter().chain([&chain]) {
            let last = way.token_ends.last().copied().unwrap_or_default();
            assert_eq!(last as usize, way.text.len());
        }
    }
}

fn target<W, D>(name: &'static str, seeds: impl IntoIterator<Item = W>) -> Target
where
    W: Message + Default + From<D>,
    D: TryFrom<W, Error = ProtocolError> + Clone + Debug,
{
    Target {
        name,
        seeds: seeds.into_iter().map(|seed| seed.encode_to_vec()).collect(),
        run: enters::<W, D>,
    }
}

/// A round with all its details.
fn chunk() -> verifier::Part {
    let round = verifier::RoundInfo {
        round: 1,
        proposed_tokens: 4,
        accepted_tokens: 2,
        detail: Some(Box::new(samples::detail())),
        ..Default::default()
    };
    verifier::Part::Chunk(verifier::Chunk {
        round: Some(round),
        ..Default::default()
    })
}

/// Every target.
pub(crate) fn targets() -> Vec<Target> {
    let to_drafter = [
        drafter::ToDrafter::Open(Box::new(samples::open())),
        drafter::ToDrafter::Verdict(samples::verdict()),
    ];
    let from_drafter = drafter::FromDrafter::Block(samples::block());
    let tree = drafter::FromDrafter::Block(samples::tree());
    let page = drafter::VocabularyPage::of(Fingerprint([9; 32]), 3, 0, |id| {
        (&b"abc"[..=id as usize], None)
    });
    let generate = verifier::Generate::new(Prompt::Text("text".to_owned()));
    vec![
        target::<drafter_wire::DraftRequest, drafter::ToDrafter>(
            "to_drafter",
            to_drafter.map(Into::into),
        ),
        Target {
            run: from_the_drafter,
            ..target::<drafter_wire::DraftResponse, drafter::FromDrafter>(
                "from_drafter",
                [from_drafter.into(), tree.into()],
            )
        },
        target::<drafter_wire::DescribeResponse, drafter::Description>(
            "drafter_description",
            [drafter_wire::DescribeResponse::default()],
        ),
        target::<drafter_wire::VocabularyRequest, drafter::VocabularyRequest>(
            "vocabulary_request",
            [drafter_wire::VocabularyRequest::default()],
        ),
        target::<drafter_wire::VocabularyResponse, drafter::VocabularyPage>(
            "vocabulary_page",
            [page.into()],
        ),
        target::<verifier_wire::GenerateRequest, verifier::Generate>("generate", [generate.into()]),
        target::<verifier_wire::Usage, verifier::Usage>("usage", [samples::usage().into()]),
        target::<verifier_wire::GenerateResponse, verifier::Part>("part", [chunk().into()]),
        target::<verifier_wire::DescribeResponse, verifier::Description>(
            "verifier_description",
            [verifier_wire::DescribeResponse::default()],
        ),
        target::<verifier_wire::CheckPairRequest, verifier::CheckPair>(
            "check_pair",
            [verifier_wire::CheckPairRequest::default()],
        ),
        target::<verifier_wire::CheckPairResponse, verifier::CheckedPair>(
            "checked_pair",
            [verifier_wire::CheckPairResponse::default()],
        ),
    ]
}
