//! Targets: every message that enters from outside, from bytes to its domain type.

use std::fmt::Debug;

use prost::Message;
use proto::{
    ProtocolError, drafter,
    model::{Fingerprint, Prompt},
    verifier,
    wire::{drafter::v1 as drafter_wire, verifier::v1 as verifier_wire},
};

use crate::samples;

/// A property of one message, and valid messages that inputs are made of.
pub(crate) struct Target {
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

/// The same, and the paths of a tree have the bytes of their tokens, in order.
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

fn target<W, D>(seeds: impl IntoIterator<Item = W>) -> Target
where
    W: Message + Default + From<D>,
    D: TryFrom<W, Error = ProtocolError> + Clone + Debug,
{
    Target {
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

pub(crate) fn to_drafter() -> Target {
    let messages = [
        drafter::ToDrafter::Open(Box::new(samples::open())),
        drafter::ToDrafter::Verdict(samples::verdict()),
    ];
    target::<drafter_wire::DraftRequest, drafter::ToDrafter>(messages.map(Into::into))
}

pub(crate) fn from_drafter() -> Target {
    let messages = [samples::block(), samples::tree()].map(drafter::FromDrafter::Block);
    Target {
        run: from_the_drafter,
        ..target::<drafter_wire::DraftResponse, drafter::FromDrafter>(messages.map(Into::into))
    }
}

pub(crate) fn drafter_description() -> Target {
    target::<_, drafter::Description>([drafter_wire::DescribeResponse::default()])
}

pub(crate) fn vocabulary_request() -> Target {
    target::<_, drafter::VocabularyRequest>([drafter_wire::VocabularyRequest::default()])
}

pub(crate) fn vocabulary_page() -> Target {
    let page = drafter::VocabularyPage::of(Fingerprint([9; 32]), 3, 0, |id| {
        (&b"abc"[..=id as usize], None)
    });
    target::<drafter_wire::VocabularyResponse, drafter::VocabularyPage>([page.into()])
}

pub(crate) fn generate() -> Target {
    let generate = verifier::Generate::new(Prompt::Text("text".to_owned()));
    target::<verifier_wire::GenerateRequest, verifier::Generate>([generate.into()])
}

pub(crate) fn usage() -> Target {
    target::<verifier_wire::Usage, verifier::Usage>([samples::usage().into()])
}

pub(crate) fn part() -> Target {
    target::<verifier_wire::GenerateResponse, verifier::Part>([chunk().into()])
}

pub(crate) fn verifier_description() -> Target {
    target::<_, verifier::Description>([verifier_wire::DescribeResponse::default()])
}

pub(crate) fn check_pair() -> Target {
    target::<_, verifier::CheckPair>([verifier_wire::CheckPairRequest::default()])
}

pub(crate) fn checked_pair() -> Target {
    target::<_, verifier::CheckedPair>([verifier_wire::CheckPairResponse::default()])
}
