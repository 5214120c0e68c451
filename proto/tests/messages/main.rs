//! Every message survives the way out and back in, and every bad field is refused by its name.

mod drafter;
#[path = "../fuzz/samples.rs"]
mod samples;
mod verifier;

use proto::ProtocolError;

/// The field that an error names, and its text, which must say what would be right.
pub(crate) fn field<T: std::fmt::Debug>(result: Result<T, ProtocolError>) -> String {
    let error = result.expect_err("the message must be refused");
    assert!(error.to_string().contains("must be"), "{error}");
    match error {
        ProtocolError::Missing { field, .. } | ProtocolError::Invalid { field, .. } => field,
        ProtocolError::Version { .. } => "version".to_owned(),
    }
}
