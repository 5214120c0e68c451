//! The account of one reply: its usage and the metrics are written at one place, so they agree.

use std::time::{Duration, Instant};

use alignment::aligned::Alignment;
use proto::{
    drafter::Traffic,
    verifier::{RoundInfo, Usage},
};

use super::latency::Latency;
use crate::metrics::Metrics;

/// The account of one reply.
#[derive(Debug)]
pub(crate) struct UsageAccount {
    usage: Usage,
    metrics: Metrics,
    latency: Latency,
    admitted: Instant,
    prefilled: Option<Instant>,
}

/// A round's part of the account.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) info: RoundInfo,
    /// Tokens committed, without an end token.
    pub(crate) tokens: u32,
    /// Bytes of those tokens.
    pub(crate) decided_bytes: u64,
    /// Bytes sent to the client.
    pub(crate) sent_bytes: u64,
    /// Rows and sessions of the pass.
    pub(crate) batch: (usize, usize),
    /// Candidates of the chain, proposed and accepted. The others are alternatives.
    pub(crate) on_chain: (u32, u32),
    pub(crate) alignment: Option<Alignment>,
    /// Duration of the round.
    pub(crate) took: Duration,
}

impl UsageAccount {
    /// Opens the account of a request that was admitted at this moment.
    pub(super) fn new(
        metrics: Metrics,
        admitted: Instant,
        prompt_tokens: usize,
        latency: Latency,
    ) -> Self {
        metrics.prompt_tokens.inc_by(prompt_tokens as u64);
        Self {
            usage: Usage {
                prompt_tokens: prompt_tokens as u32,
                ..Usage::default()
            },
            metrics,
            latency,
            admitted,
            prefilled: None,
        }
    }

    /// Tokens of the reply so far.
    pub(crate) fn completion_tokens(&self) -> u32 {
        self.usage.completion_tokens
    }

    /// Rounds so far.
    pub(crate) fn rounds(&self) -> u64 {
        self.usage.rounds.into()
    }

    /// Time from admission to this moment.
    pub(crate) fn since_admission(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.admitted)
    }

    /// Ends prefill. The prefix cache had `cached` of the prompt's tokens.
    pub(crate) fn prefilled(&mut self, cached: usize) {
        self.usage.cached_prompt_tokens = cached as u32;
        self.metrics.cached_prompt_tokens.inc_by(cached as u64);
        self.usage.prefill = self.admitted.elapsed();
        self.prefilled = Some(Instant::now());
        self.metrics
            .prefill_seconds
            .observe(self.usage.prefill.as_secs_f64());
    }

    /// Enters a round.
    pub(crate) fn enter(&mut self, entry: &Entry) {
        let (usage, metrics) = (&mut self.usage, &self.metrics);
        let Entry { info, batch, .. } = entry;
        let rejected = info.proposed_tokens - info.accepted_tokens;
        usage.rounds += 1;
        usage.target_forwards += 1;
        usage.completion_tokens += entry.tokens;
        usage.committed_bytes += entry.sent_bytes;
        usage.proposed_tokens += info.proposed_tokens;
        usage.accepted_tokens += info.accepted_tokens;
        usage.rejected_tokens += rejected;
        usage.draft_wait += info.timings.draft_wait;
        metrics.rounds.inc();
        metrics.target_forwards.inc();
        metrics.completion_tokens.inc_by(entry.tokens.into());
        metrics.committed_bytes.inc_by(entry.sent_bytes);
        metrics.proposed_tokens.inc_by(info.proposed_tokens.into());
        metrics.accepted_tokens.inc_by(info.accepted_tokens.into());
        metrics.rejected_tokens.inc_by(rejected.into());
        metrics.positions(entry.on_chain.0, entry.on_chain.1);
        let proposed = info.proposed_tokens - entry.on_chain.0;
        let accepted = info.accepted_tokens - entry.on_chain.1;
        usage.proposed_alternatives += proposed;
        usage.accepted_alternatives += accepted;
        metrics.proposed_alternatives.inc_by(proposed.into());
        metrics.accepted_alternatives.inc_by(accepted.into());
        metrics
            .committed_bytes_per_forward
            .observe(entry.decided_bytes as f64);
        metrics.batch_rows.observe(batch.0 as f64);
        metrics.batch_sessions.observe(batch.1 as f64);
        if let Some(reason) = info.fallback {
            *usage.fallbacks.entry(reason).or_default() += 1;
            metrics.fallback(reason);
        }
        self.enter_timings(entry);
        self.latency.committed(entry.tokens, Instant::now());
    }

    /// Updates the totals of messages and stale blocks.
    pub(crate) fn drafted(&mut self, traffic: Traffic, stale_blocks: u32) {
        let (usage, metrics) = (&mut self.usage, &self.metrics);
        metrics
            .wire_sent_bytes
            .inc_by(traffic.sent - usage.wire_sent_bytes);
        metrics
            .wire_received_bytes
            .inc_by(traffic.received - usage.wire_received_bytes);
        metrics
            .stale_blocks
            .inc_by((stale_blocks - usage.stale_blocks).into());
        usage.wire_sent_bytes = traffic.sent;
        usage.wire_received_bytes = traffic.received;
        usage.stale_blocks = stale_blocks;
    }

    /// Closes the account.
    pub(crate) fn close(&mut self) -> Usage {
        if let Some(prefilled) = self.prefilled.take() {
            self.usage.decode = prefilled.elapsed();
            self.metrics
                .decode_seconds
                .observe(self.usage.decode.as_secs_f64());
        }
        self.usage.clone()
    }

    fn enter_timings(&self, entry: &Entry) {
        let (metrics, timings) = (&self.metrics, &entry.info.timings);
        let elsewhere = timings.draft_wait + timings.queue + timings.verify;
        let overhead = entry.took.saturating_sub(elsewhere);
        metrics
            .draft_wait_seconds
            .observe(timings.draft_wait.as_secs_f64());
        metrics.queue_seconds.observe(timings.queue.as_secs_f64());
        metrics.verify_seconds.observe(timings.verify.as_secs_f64());
        metrics.accept_seconds.observe(timings.accept.as_secs_f64());
        metrics.overhead_seconds.observe(overhead.as_secs_f64());
        if entry.info.proposed_tokens > 0 {
            metrics
                .block_tokens
                .observe(entry.info.proposed_tokens.into());
            metrics
                .re_encode_seconds
                .observe(timings.re_encode.as_secs_f64());
            metrics.align_seconds.observe(timings.align.as_secs_f64());
            metrics
                .draft_compute_seconds
                .observe(timings.draft_compute.as_secs_f64());
        }
        let groups = entry.alignment.iter().flat_map(Alignment::groups);
        groups.for_each(|group| metrics.group(group.shape()));
    }
}

impl Drop for UsageAccount {
    /// A cancelled reply counts its decode time, too.
    fn drop(&mut self) {
        self.close();
    }
}
