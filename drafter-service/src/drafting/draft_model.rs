//! A model as a proposer.

mod branching;
mod model_proposer;
mod thresholds;

pub(super) use model_proposer::ModelProposer;
