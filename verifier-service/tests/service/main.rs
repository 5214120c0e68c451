//! The verifier over a real server, with a tiny model and drafters of every kind: the text is
//! always that of plain decoding.

mod answers;
mod browsers;
mod clients;
mod details;
mod drafters;
mod drawing;
mod failures;
mod harness;
mod hostile;
mod limits;
mod metrics;
mod openai;
mod pairs;
mod replies;
mod requests;
mod rounds;
mod structured;
mod tokens;
mod traces;
mod trees;
mod trials;
mod waits;
mod web;
