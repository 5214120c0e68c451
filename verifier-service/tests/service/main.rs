//! The verifier over a real server, with a tiny model and with drafters of every kind: whatever they do, the text is the one
//! that plain decoding gives.

mod details;
mod drafters;
mod drawing;
mod failures;
mod harness;
mod hostile;
mod limits;
mod openai;
mod pairs;
mod replies;
mod requests;
mod rounds;
mod traces;
mod trees;
mod trials;
mod waits;
mod web;
