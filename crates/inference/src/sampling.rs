//! Sampling distributions: from the logits of one position to the distribution that its next token follows.
//!
//! The order of operations is that of vLLM and Hugging Face: logit bias and then the repetition,
//! frequency and presence penalties on raw logits; then temperature; then top-k, top-p and min-p, each
//! on what the one before kept. Speculation needs the distribution itself, once for each proposed position, so
//! nothing is drawn here, and the same logits give the same distribution bit for bit.

mod allowed;
mod evaluator;
mod history;
mod mass;
mod parameters;
mod scores;
mod selection;
#[cfg(test)]
mod tests;

pub use self::{
    allowed::Allowed,
    evaluator::{Distribution, DistributionError, DistributionEvaluator},
    history::History,
    parameters::{MAX_BIASES, Sampling, SamplingError},
    scores::Scores,
};
