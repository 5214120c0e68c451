//! Requests for many replies, several at once.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _, Write as _};

use proto::verifier::{Client, FinishReason, Generate};
use tokio::task::JoinSet;

use crate::request;

/// Replies in progress at once: enough to share passes, and fewer than either service admits.
const AT_ONCE: usize = 8;

/// A client of a pair's verifier.
pub(super) struct Asker {
    client: Client,
    shows_progress: bool,
}

/// The compared parts of a reply.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SampledReply {
    pub(super) text: String,
    pub(super) reason: FinishReason,
    pub(super) tokens: u32,
    drafted: DraftCounts,
}

/// Draft tokens proposed and accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct DraftCounts {
    pub(super) proposed: u64,
    pub(super) accepted: u64,
}

impl Asker {
    /// Shows progress if `shows_progress` and standard error is a terminal.
    pub(super) fn new(client: Client, shows_progress: bool) -> Self {
        let shows_progress = shows_progress && io::stderr().is_terminal();
        Self {
            client,
            shows_progress,
        }
    }

    /// The replies to `requests`, in their order.
    pub(super) async fn ask(&self, requests: Vec<Generate>) -> anyhow::Result<Vec<SampledReply>> {
        let mut replies = vec![None; requests.len()];
        let mut waiting: VecDeque<_> = requests.into_iter().enumerate().collect();
        let mut asked = JoinSet::new();
        loop {
            while asked.len() < AT_ONCE
                && let Some((index, request)) = waiting.pop_front()
            {
                let mut client = self.client.clone();
                asked.spawn(async move { (index, one(&mut client, request).await) });
            }
            let Some(joined) = asked.join_next().await else {
                break;
            };
            let (index, reply) = joined?;
            replies[index] = Some(reply?);
        }
        Ok(replies.into_iter().flatten().collect())
    }

    /// Shows how far the check is, on a line that the next one replaces.
    pub(super) fn progress(&self, done: usize, of: usize) {
        if self.shows_progress {
            let end = if done == of { "\n" } else { "" };
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(io::stderr(), "\r{done} of {of} prompts{end}");
        }
    }
}

impl DraftCounts {
    /// Adds the counts of these replies.
    pub(super) fn with(self, replies: &[SampledReply]) -> Self {
        replies.iter().fold(self, |sum, reply| Self {
            proposed: sum.proposed + reply.drafted.proposed,
            accepted: sum.accepted + reply.drafted.accepted,
        })
    }
}

async fn one(client: &mut Client, request: Generate) -> anyhow::Result<SampledReply> {
    let answer = request::ask(client, request, |_| Ok(())).await?;
    let usage = &answer.finish.usage;
    Ok(SampledReply {
        text: answer.text,
        reason: answer.finish.reason,
        tokens: usage.completion_tokens,
        drafted: DraftCounts {
            proposed: u64::from(usage.proposed_tokens),
            accepted: u64::from(usage.accepted_tokens),
        },
    })
}

#[cfg(test)]
impl SampledReply {
    /// A reply to compare, without a drafter.
    pub(super) fn described(text: &str, reason: FinishReason, tokens: u32) -> Self {
        Self {
            text: text.to_owned(),
            reason,
            tokens,
            drafted: DraftCounts::default(),
        }
    }
}
