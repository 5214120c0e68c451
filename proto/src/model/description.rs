//! Description of a process: its build, its model, its methods.

use std::fmt;

use crate::{ProtocolError, check, wire::model::v1 as wire};

/// SHA-256 that identifies a tokenizer. Ids may be exchanged only between equal ones.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of a drafter without a vocabulary, which has no ids to exchange.
    pub const NONE: Self = Self([0; 32]);
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Who answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Build {
    /// Program, such as "drafter-service".
    pub service: String,
    /// Its release.
    pub version: String,
    /// Version of the protocol it speaks.
    pub protocol_version: u32,
}

impl Build {
    /// The build that calls this, speaking this version of its service's protocol.
    pub fn of(service: &str, version: &str, protocol_version: u32) -> Self {
        Self {
            service: service.to_owned(),
            version: version.to_owned(),
            protocol_version,
        }
    }
}

/// A model as a process has loaded it; the schema describes each field.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    missing_docs,
    reason = "the schema documents each field under the same name"
)]
pub struct Model {
    pub name: String,
    pub architecture: String,
    pub quantisation: String,
    pub requantised: Vec<String>,
    pub kernels: String,
    pub parameters: u64,
    pub context_length: u32,
    pub vocabulary_size: u32,
    pub tokenizer_family: String,
    pub tokenizer_fingerprint: Fingerprint,
    pub device: String,
    pub threads: u32,
}

/// An acceptance method that a process supports.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Method {
    /// Its name, such as "coupled".
    pub name: String,
    /// True if replies follow the target's distribution exactly.
    pub lossless: bool,
    /// True if the drafter must send the distributions it sampled.
    pub needs_distributions: bool,
}

impl TryFrom<wire::Build> for Build {
    type Error = ProtocolError;

    fn try_from(build: wire::Build) -> Result<Self, ProtocolError> {
        check::within("protocol_version", build.protocol_version, 1..=u32::MAX)?;
        let wire::Build {
            service,
            version,
            protocol_version,
        } = build;
        Ok(Self {
            service,
            version,
            protocol_version,
        })
    }
}

impl From<Build> for wire::Build {
    fn from(build: Build) -> Self {
        let Build {
            service,
            version,
            protocol_version,
        } = build;
        Self {
            service,
            version,
            protocol_version,
        }
    }
}

impl TryFrom<wire::Model> for Model {
    type Error = ProtocolError;

    fn try_from(model: wire::Model) -> Result<Self, ProtocolError> {
        check::size("name", model.name.len(), 1..=4096, "bytes")?;
        let fingerprint = Fingerprint(check::fingerprint(
            "tokenizer_fingerprint",
            &model.tokenizer_fingerprint,
        )?);
        Ok(Self {
            name: model.name,
            architecture: model.architecture,
            quantisation: model.quantisation,
            requantised: model.requantised,
            kernels: model.kernels,
            parameters: model.parameters,
            context_length: check::within("context_length", model.context_length, 1..=u32::MAX)?,
            vocabulary_size: model.vocabulary_size,
            tokenizer_family: model.tokenizer_family,
            tokenizer_fingerprint: fingerprint,
            device: model.device,
            threads: model.threads,
        })
    }
}

impl From<Model> for wire::Model {
    fn from(model: Model) -> Self {
        Self {
            name: model.name,
            architecture: model.architecture,
            quantisation: model.quantisation,
            requantised: model.requantised,
            kernels: model.kernels,
            parameters: model.parameters,
            context_length: model.context_length,
            vocabulary_size: model.vocabulary_size,
            tokenizer_family: model.tokenizer_family,
            tokenizer_fingerprint: model.tokenizer_fingerprint.0.to_vec(),
            device: model.device,
            threads: model.threads,
        }
    }
}

impl TryFrom<wire::Method> for Method {
    type Error = ProtocolError;

    fn try_from(method: wire::Method) -> Result<Self, ProtocolError> {
        let wire::Method {
            name,
            lossless,
            needs_distributions,
        } = method;
        Ok(Self {
            name: check::method("name", name)?,
            lossless,
            needs_distributions,
        })
    }
}

impl From<Method> for wire::Method {
    fn from(method: Method) -> Self {
        let Method {
            name,
            lossless,
            needs_distributions,
        } = method;
        Self {
            name,
            lossless,
            needs_distributions,
        }
    }
}

/// Methods of a `Describe` response; a peer without any is of no use.
pub(crate) fn methods(methods: Vec<wire::Method>) -> Result<Vec<Method>, ProtocolError> {
    check::size("methods", methods.len(), 1..=64, "entries")?;
    methods
        .into_iter()
        .enumerate()
        .map(|(i, method)| Method::try_from(method).map_err(|e| e.within(&format!("methods[{i}]"))))
        .collect()
}
