//! Sampling that a model's authors suggest.

use serde_json::Value as Json;
use tokenizer::gguf::Metadata;

/// Sampling that a model's authors suggest, by field; `None`: they say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SuggestedSampling {
    /// Divides logits.
    pub temperature: Option<f32>,
    /// Number of likeliest tokens kept.
    pub top_k: Option<u32>,
    /// Probability that the tokens kept have together.
    pub top_p: Option<f32>,
    /// Least share of the likeliest token's probability.
    pub min_p: Option<f32>,
    /// Weakens tokens that were there before.
    pub repetition_penalty: Option<f32>,
}

impl SuggestedSampling {
    /// In the metadata of a GGUF file.
    pub(super) fn of_gguf(metadata: &Metadata) -> Self {
        let number = |name: &str| {
            let value = metadata.get(&format!("general.sampling.{name}"))?;
            let integer = || value.as_integer().map(|number| number as f64);
            value.as_float().or_else(integer)
        };
        Self::read(
            number,
            ["temp", "top_k", "top_p", "min_p", "penalty_repeat"],
        )
    }

    /// In a `generation_config.json`.
    pub(super) fn of_json(config: &Json) -> Self {
        let names = [
            "temperature",
            "top_k",
            "top_p",
            "min_p",
            "repetition_penalty",
        ];
        Self::read(|name| config.get(name)?.as_f64(), names)
    }

    /// Values out of the ranges of requests are passed over.
    fn read(number: impl Fn(&str) -> Option<f64>, names: [&str; 5]) -> Self {
        let [temperature, top_k, top_p, min_p, penalty] = names.map(number);
        let within = |value: Option<f64>, least: f64, most: f64| {
            let value = value.filter(|value| (least..=most).contains(value));
            value.map(|value| value as f32)
        };
        let top_k = top_k.filter(|count| (0.0..=f64::from(u32::MAX)).contains(count));
        Self {
            temperature: within(temperature, 0.0, 2.0),
            top_k: top_k.map(|count| count as u32),
            top_p: within(top_p, f64::MIN_POSITIVE, 1.0),
            min_p: within(min_p, 0.0, 0.999),
            repetition_penalty: within(penalty, f64::MIN_POSITIVE, 10.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_generation_config_are_read_and_senseless_ones_are_not() {
        let config = serde_json::json!({"temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.1});
        let expected = SuggestedSampling {
            temperature: Some(0.7),
            top_k: Some(20),
            top_p: Some(0.8),
            min_p: None,
            repetition_penalty: Some(1.1),
        };
        assert_eq!(SuggestedSampling::of_json(&config), expected);
        let senseless =
            serde_json::json!({"temperature": 70, "top_k": -1, "top_p": 0, "min_p": "x"});
        let nothing = SuggestedSampling::default();
        assert_eq!(SuggestedSampling::of_json(&senseless), nothing);
    }
}
