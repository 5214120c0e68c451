//! Asking for many replies, several at once.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _, Write as _};

use proto::verifier::{Client, FinishReason, Generate};
use tokio::task::JoinSet;

use crate::request;

/// Replies in progress at once: they share passes, and stay within what either service admits.
const AT_ONCE: usize = 8;

/// Asks the verifier of a pair.
pub(super) struct Asker {
    client: Client,
    tells: bool,
}

/// A reply, as far as it is compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) text: String,
    pub(super) reason: FinishReason,
    pub(super) tokens: u32,
    drafted: Drafted,
}

/// What drafters contributed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Drafted {
    pub(super) proposed: u64,
    pub(super) accepted: u64,
}

impl Asker {
    /// Says on a terminal how far it is, if it `tells`.
    pub(super) fn new(client: Client, tells: bool) -> Self {
        let tells = tells && io::stderr().is_terminal();
        Self { client, tells }
    }

    /// The replies to `requests`, in their order.
    pub(super) async fn ask(&self, requests: Vec<Generate>) -> anyhow::Result<Vec<Reply>> {
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

    /// Says how far the check is, on a line that the next one replaces.
    pub(super) fn progress(&self, done: usize, of: usize) {
        if self.tells {
            let end = if done == of { "\n" } else { "" };
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(io::stderr(), "\r{done} of {of} prompts{end}");
        }
    }
}

impl Drafted {
    /// With what drafters contributed to these replies.
    pub(super) fn with(self, replies: &[Reply]) -> Self {
        replies.iter().fold(self, |sum, reply| Self {
            proposed: sum.proposed + reply.drafted.proposed,
            accepted: sum.accepted + reply.drafted.accepted,
        })
    }
}

async fn one(client: &mut Client, request: Generate) -> anyhow::Result<Reply> {
    let answer = request::ask(client, request, |_| Ok(())).await?;
    let usage = &answer.finish.usage;
    Ok(Reply {
        text: answer.text,
        reason: answer.finish.reason,
        tokens: usage.completion_tokens,
        drafted: Drafted {
            proposed: u64::from(usage.proposed_tokens),
            accepted: u64::from(usage.accepted_tokens),
        },
    })
}

#[cfg(test)]
impl Reply {
    /// A reply to compare, without any drafter.
    pub(super) fn made(text: &str, reason: FinishReason, tokens: u32) -> Self {
        Self {
            text: text.to_owned(),
            reason,
            tokens,
            drafted: Drafted::default(),
        }
    }
}
