//! The generated types, in modules named for their packages.
#![allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    reason = "generated code; the schema documents it"
)]

pub mod model {
    pub mod v1 {
        tonic::include_proto!("duet.model.v1");
    }
}

pub mod drafter {
    pub mod v1 {
        tonic::include_proto!("duet.drafter.v1");
    }
}

pub mod verifier {
    pub mod v1 {
        tonic::include_proto!("duet.verifier.v1");
    }
}
