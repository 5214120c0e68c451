//! Prefix cache: keys and values of earlier prompts, so that a common prefix is computed once.
//!
//! They are kept in blocks of positions. A block is found by the ids of its tokens and by the block before it, both compared
//! and not only hashed, so a session copies what it would have computed, bit for bit if kernels are
//! batch-invariant. Blocks are copied into a session's cache and out of it: a session may forget and overwrite its positions as
//! it likes, its memory is counted apart, and copying a position costs a thousandth of computing it.

use std::collections::HashMap;

use candle_core::Result;

use crate::decoder::{Cache, Positions};

/// Positions of one block. Prompts share whole blocks only, and on a CPU each position that is not shared costs milliseconds.
pub(super) const BLOCK: usize = 32;

/// Blocks of positions by their tokens.
pub(super) struct Prefixes {
    blocks: HashMap<Key, Block>,
    /// Most memory.
    limit: u64,
    bytes: u64,
    /// Counter of events, used as a time.
    clock: u64,
}

/// Cause of a block's keys and values.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    /// Id of the block before; 0 at the beginning.
    before: u64,
    tokens: [u32; BLOCK],
}

struct Block {
    /// Unique forever, so that a block whose predecessor was dropped is not found after another one.
    id: u64,
    /// Time of its last use, later than that of the blocks after it, so that none outlives its predecessor.
    used: u64,
    positions: Positions,
}

impl Prefixes {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            blocks: HashMap::new(),
            limit,
            bytes: 0,
            clock: 0,
        }
    }

    /// True if no blocks are kept.
    pub(super) fn is_off(&self) -> bool {
        self.limit == 0
    }

    /// Memory of all blocks.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends the known positions of `tokens` to `cache`, which holds those of the first of them. Returns the number of positions
    /// appended.
    pub(super) fn extend(&mut self, tokens: &[u32], cache: &mut Cache) -> Result<usize> {
        let held = cache.len();
        if self.is_off() || !held.is_multiple_of(BLOCK) {
            return Ok(0);
        }
        let chain = self.chain(tokens);
        for key in chain.iter().skip(held / BLOCK) {
            cache.restore(&self.blocks[key].positions)?;
        }
        self.mark_used(&chain);
        Ok(cache.len() - held)
    }

    /// Keeps the whole blocks of `tokens`, whose positions are the first that `cache` holds.
    pub(super) fn keep(&mut self, tokens: &[u32], cache: &Cache) -> Result<()> {
        let block_bytes = cache.position_bytes() * BLOCK as u64 + size_of::<(Key, Block)>() as u64;
        // A prompt that is longer than all the memory keeps its beginning.
        let room = usize::try_from(self.limit / block_bytes.max(1)).unwrap_or(usize::MAX);
        let wanted = tokens.as_chunks::<BLOCK>().0;
        let wanted = &wanted[..wanted.len().min(room)];
        let mut chain = self.chain(wanted.as_flattened());
        // Used now, so that room is made at the expense of others.
        self.mark_used(&chain);
        let mut before = self.last_id(&chain);
        for (index, tokens) in wanted.iter().enumerate().skip(chain.len()) {
            while self.bytes + block_bytes > self.limit {
                self.drop_oldest(block_bytes);
            }
            let positions = cache.copy(index * BLOCK, BLOCK)?;
            self.clock += 1;
            let (id, used) = (self.clock, self.clock);
            let key = Key {
                before,
                tokens: *tokens,
            };
            let block = Block {
                id,
                used,
                positions,
            };
            self.blocks.insert(key, block);
            self.bytes += block_bytes;
            before = id;
            chain.push(key);
        }
        self.mark_used(&chain);
        Ok(())
    }

    /// The known blocks at the beginning of `tokens`.
    fn chain(&self, tokens: &[u32]) -> Vec<Key> {
        let mut before = 0;
        let mut chain = Vec::new();
        for tokens in tokens.as_chunks::<BLOCK>().0 {
            let key = Key {
                before,
                tokens: *tokens,
            };
            let Some(block) = self.blocks.get(&key) else {
                break;
            };
            before = block.id;
            chain.push(key);
        }
        chain
    }

    fn last_id(&self, chain: &[Key]) -> u64 {
        chain.last().map_or(0, |key| self.blocks[key].id)
    }

    /// The last block first, so that the first is the last to go.
    fn mark_used(&mut self, chain: &[Key]) {
        for key in chain.iter().rev() {
            self.clock += 1;
            if let Some(block) = self.blocks.get_mut(key) {
                block.used = self.clock;
            }
        }
    }

    fn drop_oldest(&mut self, block_bytes: u64) {
        let oldest = self.blocks.iter().min_by_key(|(_, block)| block.used);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.blocks.remove(&key);
        }
        self.bytes -= block_bytes;
    }
}
