//! The wire: the schema of both services, domain types with validation, and typed clients.
//!
//! The `.proto` files are the specification; nothing here says what they already say. A message is checked where it is
//! received (`TryFrom` in, which names the field that is wrong) and taken as it is where it is sent (`From` out). The types
//! in [`wire`] are generated; they stay in this crate and in the one file of each service that implements it.

pub mod committed;
pub mod drafter;
pub mod error;
pub mod limits;
pub mod model;
pub mod verifier;
pub mod wire;

mod check;

pub use committed::{BaseHash, CommittedText};
pub use error::{ClientError, ProtocolError};

/// The compiled schema, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/duet.binpb"));
