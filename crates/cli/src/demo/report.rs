//! The report of the demo, as a table and as JSON.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::request::{WholeReply, per_second};

/// Both runs of the demo.
pub(super) struct DemoReport<'a> {
    pub(super) target: &'a str,
    pub(super) drafter: &'a str,
    pub(super) prompt: &'a str,
    /// The run without speculation, if it was made.
    pub(super) plain: Option<&'a WholeReply>,
    pub(super) speculative: &'a WholeReply,
}

impl DemoReport<'_> {
    /// True if both texts are equal byte for byte; none without a baseline.
    fn identical(&self) -> Option<bool> {
        self.plain.map(|plain| plain.text == self.speculative.text)
    }

    /// Ratio of tokens per second; none without a baseline.
    fn speedup(&self) -> Option<f64> {
        let plain = rate(self.plain?);
        (plain > 0.0).then(|| rate(self.speculative) / plain)
    }

    /// One object, as `--json` prints it.
    pub(super) fn json(&self) -> Value {
        let mut speculative = common(self.speculative);
        let usage = &self.speculative.finish.usage;
        speculative.insert("proposed".to_owned(), json!(usage.proposed_tokens));
        speculative.insert("accepted".to_owned(), json!(usage.accepted_tokens));
        let bytes = bytes_per_forward(self.speculative);
        speculative.insert("committed_bytes_per_forward".to_owned(), json!(bytes));
        json!({
            "target": self.target,
            "drafter": self.drafter,
            "prompt": self.prompt,
            "text": self.speculative.text,
            "identical": self.identical(),
            "speedup": self.speedup(),
            "plain": self.plain.map(common),
            "speculative": speculative,
        })
    }
}

fn common(answer: &WholeReply) -> Map<String, Value> {
    let usage = &answer.finish.usage;
    let fields = [
        ("tokens", json!(usage.completion_tokens)),
        ("seconds", json!(usage.decode.as_secs_f64())),
        ("tokens_per_second", json!(rate(answer))),
        ("forwards", json!(usage.target_forwards)),
    ];
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// Tokens of the reply per second of decoding. The prefill is left out: it is the same in both runs.
fn rate(answer: &WholeReply) -> f64 {
    let usage = &answer.finish.usage;
    per_second(f64::from(usage.completion_tokens), usage.decode)
}

fn bytes_per_forward(answer: &WholeReply) -> f64 {
    let usage = &answer.finish.usage;
    usage.committed_bytes as f64 / f64::from(usage.target_forwards.max(1))
}

impl fmt::Display for DemoReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        type Column = fn(&WholeReply) -> String;
        let rows: [(&str, Column); 7] = [
            ("tokens", |answer| {
                answer.finish.usage.completion_tokens.to_string()
            }),
            ("seconds of decoding", |answer| {
                format!("{:.2}", answer.finish.usage.decode.as_secs_f64())
            }),
            ("tokens per second", |answer| format!("{:.2}", rate(answer))),
            ("target forwards", |answer| {
                answer.finish.usage.target_forwards.to_string()
            }),
            ("bytes per forward", |answer| {
                format!("{:.2}", bytes_per_forward(answer))
            }),
            ("proposed tokens", |answer| {
                answer.finish.usage.proposed_tokens.to_string()
            }),
            ("accepted tokens", |answer| {
                answer.finish.usage.accepted_tokens.to_string()
            }),
        ];
        writeln!(f, "{:<22}{:>12}{:>14}", "", "without", "with drafter")?;
        for (name, column) in rows {
            let plain = self.plain.map_or_else(|| "-".to_owned(), column);
            writeln!(f, "{name:<22}{plain:>12}{:>14}", column(self.speculative))?;
        }
        if let Some(speedup) = self.speedup() {
            writeln!(f, "{:<22}{:>26}", "speed-up", format!("{speedup:.2}x"))?;
        }
        match self.identical() {
            Some(true) => write!(f, "{:<22}{:>26}", "texts", "byte-identical"),
            Some(false) => write!(f, "{:<22}{:>26}", "texts", "DIFFERENT"),
            None => write!(f, "{:<22}{:>26}", "texts", "no baseline was run"),
        }
    }
}
