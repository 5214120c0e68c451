//! The decoder, the engine and checkpoints, over tiny models with random weights that need no download.

mod agreement;
mod damage;
mod engines;
mod files;
mod model;
mod passes;
mod reference;
mod sessions;
