//! Parameters of sampling, checked.

/// Most entries of `logit_bias`.
pub const MAX_BIASES: usize = 1024;

/// Parameters of a sampling distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divides logits; 0 is greedy: the highest logit after bias and penalties, the lowest id of equals.
    pub temperature: f32,
    /// Number of likeliest tokens kept, of equals the lowest ids; 0 keeps all.
    pub top_k: u32,
    /// Keeps the fewest likeliest tokens that have this much probability together; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens that have at least this fraction of the likeliest one's probability; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens in the prompt or the reply; 1 does nothing.
    pub repetition_penalty: f32,
    /// Subtracted from a logit for each time its token is in the reply.
    pub frequency_penalty: f32,
    /// Subtracted once from the logit of each token in the reply.
    pub presence_penalty: f32,
    /// Added to the logits of single tokens.
    pub logit_bias: Vec<(u32, f32)>,
}

/// A field out of its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{field}` is {value}, it must be {range}")]
pub struct SamplingError {
    /// Name of the field.
    pub field: &'static str,
    /// Value given.
    pub value: String,
    /// Right values.
    pub range: String,
}

impl Sampling {
    /// Always the likeliest token, nothing else changed.
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: Vec::new(),
        }
    }

    /// Checks every field against its range; NaN is in none.
    pub fn validate(&self, vocab_size: usize) -> Result<(), SamplingError> {
        let check = |field, value: f32, valid: bool, range: &str| {
            if valid {
                Ok(())
            } else {
                Err(SamplingError::new(field, value, range))
            }
        };
        let Self {
            temperature,
            top_p,
            min_p,
            ..
        } = *self;
        check(
            "temperature",
            temperature,
            (0.0..=10.0).contains(&temperature),
            "from 0 to 10",
        )?;
        check(
            "top_p",
            top_p,
            top_p > 0.0 && top_p <= 1.0,
            "above 0 and at most 1",
        )?;
        check(
            "min_p",
            min_p,
            (0.0..1.0).contains(&min_p),
            "from 0 to below 1",
        )?;
        let repetition = self.repetition_penalty;
        let valid = repetition > 0.0 && repetition <= 10.0;
        check(
            "repetition_penalty",
            repetition,
            valid,
            "above 0 and at most 10",
        )?;
        for (field, penalty) in [
            ("frequency_penalty", self.frequency_penalty),
            ("presence_penalty", self.presence_penalty),
        ] {
            check(
                field,
                penalty,
                (-2.0..=2.0).contains(&penalty),
                "from -2 to 2",
            )?;
        }
        self.validate_biases(vocab_size)
    }

    fn validate_biases(&self, vocab_size: usize) -> Result<(), SamplingError> {
        let refuse = |value: String, range: String| {
            Err(SamplingError {
                field: "logit_bias",
                value,
                range,
            })
        };
        if self.logit_bias.len() > MAX_BIASES {
            let entries = format!("{} entries", self.logit_bias.len());
            return refuse(entries, format!("{MAX_BIASES} entries at most"));
        }
        let mut ids: Vec<u32> = self.logit_bias.iter().map(|&(id, _)| id).collect();
        ids.sort_unstable();
        let twice = |pair: &[u32]| (pair[0] == pair[1]).then_some(pair[0]);
        if let Some(id) = ids.windows(2).find_map(twice) {
            return refuse(
                format!("twice for token {id}"),
                "once for each token".into(),
            );
        }
        for &(id, bias) in &self.logit_bias {
            if id as usize >= vocab_size {
                return refuse(
                    format!("for token {id}"),
                    format!("for tokens below {vocab_size}"),
                );
            }
            if !(-100.0..=100.0).contains(&bias) {
                return refuse(format!("{bias} for token {id}"), "from -100 to 100".into());
            }
        }
        Ok(())
    }

    pub(super) fn has_penalties(&self) -> bool {
        let neutral = Self::greedy();
        (
            self.repetition_penalty,
            self.frequency_penalty,
            self.presence_penalty,
        ) != (
            neutral.repetition_penalty,
            neutral.frequency_penalty,
            neutral.presence_penalty,
        )
    }
}

impl SamplingError {
    fn new(field: &'static str, value: f32, range: &str) -> Self {
        Self {
            field,
            value: value.to_string(),
            range: range.to_owned(),
        }
    }
}
