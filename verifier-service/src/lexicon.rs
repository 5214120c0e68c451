//! Lexicons: ids of a draft model in the target's vocabulary, for methods that need the
//! distribution that a token was drawn from.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alignment::{
    DraftToken, TargetToken,
    acceptance::{Method, TokenMap, TokenMapError},
};
use chassis::lifecycle::Lifecycle;
use proto::{
    ClientError,
    drafter::{Client, VocabularyTable},
    limits::MAX_BLOCK_BYTES,
    model::Fingerprint,
};
use tokio::{sync::OnceCell, time::timeout};
use tonic::Request;

use crate::{drafters::Wanted, target::Target};

/// Most draft vocabularies that are remembered. Drafters of one deployment have one or two.
const REMEMBERED: usize = 8;

/// Longest time to fetch a vocabulary and to map it.
const FETCHING: Duration = Duration::from_mins(1);

/// Meaning of the ids of one draft model.
#[derive(Clone, Debug)]
pub(crate) enum Lexicon {
    /// They are the target's, or are not read.
    Same,
    /// They map to these target tokens.
    Mapped(Arc<TokenMap>),
}

/// Error for a draft model whose ids have no known meaning.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LexiconError {
    #[error("the drafter does not send its vocabulary")]
    Client(#[from] ClientError),
    #[error("the drafter's vocabulary cannot be mapped: {0}")]
    Map(String),
    #[error(
        "standard needs one vocabulary on both sides: the drafter's is {found}, the target's {expected}"
    )]
    Differs {
        found: Fingerprint,
        expected: Fingerprint,
    },
}

type Slot = Arc<OnceCell<Arc<TokenMap>>>;

/// The lexicons of all drafters. Clones share them.
#[derive(Clone)]
pub(crate) struct Lexicons {
    target: Arc<Target>,
    lifecycle: Lifecycle,
    known: Arc<Mutex<HashMap<Fingerprint, Slot>>>,
}

impl Lexicon {
    /// Draft tokens that may be drawn under `method`, as `Open.drawable` has them; empty for all.
    pub(crate) fn drawable(&self, method: Method) -> Vec<u8> {
        let bits = match (self, method) {
            (Self::Mapped(map), Method::Tli) => map.shared(),
            (Self::Mapped(map), Method::PathConditional) => map.mapped(),
            _ => &[],
        };
        bits.iter().flat_map(|word| word.to_le_bytes()).collect()
    }
}

impl Lexicons {
    pub(crate) fn new(target: Arc<Target>, lifecycle: Lifecycle) -> Self {
        Self {
            target,
            lifecycle,
            known: Arc::default(),
        }
    }

    /// Requirements of `method` on a drafter.
    pub(crate) fn wanted(&self, method: Method) -> Wanted<'static> {
        Wanted {
            method: method.name(),
            vocabulary: self.needed(method),
        }
    }

    fn needed(&self, method: Method) -> Option<Fingerprint> {
        let expected = || Fingerprint(self.target.tokenizer().fingerprint());
        (method == Method::Standard).then(expected)
    }

    /// Lexicon of a drafter under `method`, and the fingerprint of its vocabulary. The first call
    /// fetches and maps the vocabulary, and goes on if its caller stops waiting.
    pub(crate) async fn of(
        &self,
        method: Method,
        mut client: Client,
    ) -> Result<(Lexicon, Fingerprint), LexiconError> {
        let found = client.describe(Request::new(())).await?;
        let found = found.model.tokenizer_fingerprint;
        if let Some(expected) = self.needed(method) {
            return if found == expected {
                Ok((Lexicon::Same, found))
            } else {
                Err(LexiconError::Differs { found, expected })
            };
        }
        if !method.needs_distributions() {
            return Ok((Lexicon::Same, found));
        }
        let (slot, target) = (self.slot(found), Arc::clone(&self.target));
        let stopping = self.lifecycle.stopping().clone();
        let fetching = self.lifecycle.tasks().spawn(async move {
            let fetched = slot.get_or_try_init(|| async {
                let fetching = fetch(client, target, found);
                let late = |_| LexiconError::Map("it took too long".to_owned());
                timeout(FETCHING, fetching).await.map_err(late)?
            });
            tokio::select! {
                map = fetched => map.map(Arc::clone),
                () = stopping.cancelled() => Err(LexiconError::Map("the verifier stops".to_owned())),
            }
        });
        let map = fetching.await;
        let map = map.map_err(|error| LexiconError::Map(error.to_string()))??;
        Ok((Lexicon::Mapped(map), found))
    }

    fn slot(&self, fingerprint: Fingerprint) -> Slot {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED && !known.contains_key(&fingerprint) {
            known.clear();
        }
        Arc::clone(known.entry(fingerprint).or_default())
    }
}

async fn fetch(
    mut client: Client,
    target: Arc<Target>,
    expected: Fingerprint,
) -> Result<Arc<TokenMap>, LexiconError> {
    let table = client.vocabulary(Request::new(())).await?;
    if table.fingerprint != expected {
        let found = table.fingerprint;
        let changed = format!("its fingerprint was {expected} and is {found}");
        return Err(LexiconError::Map(changed));
    }
    // Mapping encodes every token, which takes too long for the runtime's threads.
    let mapping = tokio::task::spawn_blocking(move || map(&table, &target));
    let mapped = mapping.await;
    let mapped = mapped.map_err(|error| LexiconError::Map(error.to_string()))?;
    let mapped = mapped.map_err(|error| LexiconError::Map(error.to_string()))?;
    Ok(Arc::new(mapped))
}

/// Map from draft to target tokens: ends by their roles, all others by their bytes.
fn map(table: &VocabularyTable, target: &Target) -> Result<TokenMap, TokenMapError> {
    let roles = (0..table.size()).filter_map(|id| table.end_role(id).map(|role| (id, role)));
    let ends: Vec<(DraftToken, TargetToken)> = roles
        .filter_map(|(id, role)| target.end_token(role).map(|end| (DraftToken(id), end)))
        .collect();
    // A token that fits into no block needs no spelling.
    let drawable = |bytes| {
        if <[u8]>::len(bytes) <= MAX_BLOCK_BYTES as usize {
            bytes
        } else {
            &[]
        }
    };
    TokenMap::new(table.tokens().map(drawable), target, &ends)
}
