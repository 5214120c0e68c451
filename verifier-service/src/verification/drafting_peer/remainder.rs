//! Remainder of a block when more of the reply is committed than its base.

use proto::{
    CommittedText,
    drafter::{Block, Draw, Way},
    verifier::FallbackReason,
};

/// A block without the prefix that is already committed.
pub(super) struct Remainder {
    pub(super) skipped_bytes: u32,
    pub(super) text: Vec<u8>,
    /// End of each token of the chain, in bytes of `text`.
    pub(super) token_ends: Vec<u32>,
    pub(super) alternatives: Vec<Way>,
    pub(super) draws: Vec<Draw>,
}

/// Rest of a block after the committed text, empty if it declines; or the reason not to use it.
pub(super) fn remainder(
    block: &Block,
    committed: &CommittedText,
) -> Result<Remainder, FallbackReason> {
    let (chain, others) = block.ways();
    let text = match committed.continuation(block.base_length, block.base_hash, &chain.text) {
        None if block.declines() => return Err(FallbackReason::NothingUsable),
        None => return Err(FallbackReason::Stale),
        Some([]) if block.ends_with.is_none() && !block.declines() => {
            return Err(FallbackReason::NothingUsable);
        }
        Some(text) => text,
    };
    let skipped = chain.text.len() - text.len();
    let ends = &chain.token_ends;
    let first = ends.partition_point(|end| *end as usize <= skipped);
    let is_torn = first.checked_sub(1).map_or(0, |last| ends[last] as usize) != skipped;
    // The rest of a token was not drawn from any distribution.
    if is_torn && !block.draws.is_empty() {
        return Err(FallbackReason::NothingUsable);
    }
    let said = &chain.text[..skipped];
    Ok(Remainder {
        skipped_bytes: skipped as u32,
        text: text.to_vec(),
        token_ends: ends_behind(&ends[first..], skipped),
        alternatives: others.iter().filter_map(|way| behind(way, said)).collect(),
        draws: block.draws.get(first..).unwrap_or_default().to_vec(),
    })
}

/// Number of the chain's tokens that agree with the text committed after the block's base; `None`
/// for a block of another text, or without any.
pub(super) fn accepted(block: &Block, committed: &CommittedText) -> Option<usize> {
    let base = usize::try_from(block.base_length).ok()?;
    let behind = committed.bytes().get(base..)?;
    let (chain, _) = block.ways();
    if committed.hash_at(base) != Some(block.base_hash) || chain.text.is_empty() {
        return None;
    }
    let pairs = chain.text.iter().zip(behind);
    let agreed = pairs.take_while(|(one, other)| one == other).count() as u32;
    Some(chain.token_ends.partition_point(|end| *end <= agreed))
}

/// Rest of a path after `committed` bytes; `None` if it differs from them or has no more.
fn behind(way: &Way, committed: &[u8]) -> Option<Way> {
    let text = way.text.strip_prefix(committed)?;
    let first = way
        .token_ends
        .partition_point(|end| *end as usize <= committed.len());
    (!text.is_empty()).then(|| Way {
        text: text.to_vec(),
        token_ends: ends_behind(&way.token_ends[first..], committed.len()),
    })
}

/// The same ends in a text without its first `skipped` bytes.
fn ends_behind(ends: &[u32], skipped: usize) -> Vec<u32> {
    ends.iter().map(|end| end - skipped as u32).collect()
}
