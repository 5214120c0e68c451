//! When to draft and how much.

pub mod deadline;
pub mod goodput;
