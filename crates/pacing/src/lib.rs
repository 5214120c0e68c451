//! When to draft, and how much: the policy that decides what a verifier asks a drafter for, round by round.
//!
//! Start at [`Pacer`]: one for each session, three calls. Before a round [`Pacer::wish`] says what is wanted; after it
//! [`Pacer::observe`] takes in what the round brought and took.
//!
//! ```text
//! Experience   of one drafter, shared by its sessions: acceptance, drafting time, latency, turns to probe
//! Passes       of the target, shared by all sessions: cost of a pass by rows, and the switch
//! Scene        what a session knows of both at the beginning of a round; read once, so that a round decides by one view
//! Pacer        of one session: its mode, what its own text has shown, its budget for waiting
//! ```
//!
//! The rule is goodput: the block length that commits the most tokens a second, zero included (after `SmartSpec`, arXiv
//! 2406.14066). Two guards need no model: the [`Budget`] bounds what waiting for drafts may cost a reply, and the [`Switch`]
//! compares measured speeds with and without drafting and so sees costs that no estimate knows.
//!
//! Everything is pure: durations come in, a wish goes out, and the caller owns the clock. Nothing beyond `std`.

mod budget;
mod chances;
mod deadline;
mod draft_cost;
mod ewma;
mod experience;
mod pacer;
mod passes;
mod round;
mod switch;
mod verify_cost;

pub use budget::Budget;
pub use deadline::{DeadlineOptions, RoundLatency};
pub use experience::Experience;
pub use pacer::{Limits, Pacer};
pub use passes::{Passes, Scene};
pub use round::{BlockFate, Round, Wish};
pub use switch::Switch;
pub use verify_cost::VerifyCost;
