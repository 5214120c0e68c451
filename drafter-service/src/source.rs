//! Sources of drafts: a model, a look-up in the session's own text, or both, one after the other.

use std::{fmt, str::FromStr};

use store::{ModelReference, StoreError};

/// Name of the look-up, alone or before a model's name.
const LOOKUP: &str = "ngram";

/// A source of drafts, with its model if it has one: `M` is the model's name, or the loaded model.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source<M> {
    /// The session's own text; there is no model.
    Lookup,
    /// A model.
    Model(M),
    /// The look-up, and the model if that finds nothing.
    Cascade(M),
}

/// Error for a text that names no source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Not a reference to a model.
    #[error("write ngram, MODEL or ngram+MODEL")]
    Model(#[from] StoreError),
    /// A cascade without a model.
    #[error(
        "{text:?} has no model after the look-up: write ngram+MODEL, or ngram for the look-up alone"
    )]
    NoModel {
        /// The text as given.
        text: String,
    },
}

impl<M> Source<M> {
    /// The model, if there is one.
    pub fn model(&self) -> Option<&M> {
        match self {
            Self::Lookup => None,
            Self::Model(model) | Self::Cascade(model) => Some(model),
        }
    }

    /// The same with the result of `change` in the model's place.
    pub(crate) fn map<N>(self, change: impl FnOnce(M) -> N) -> Source<N> {
        match self {
            Self::Lookup => Source::Lookup,
            Self::Model(model) => Source::Model(change(model)),
            Self::Cascade(model) => Source::Cascade(change(model)),
        }
    }

    /// The same with the result of `change` in the model's place.
    ///
    /// # Errors
    /// That of `change`.
    pub fn try_map<N, E>(self, change: impl FnOnce(M) -> Result<N, E>) -> Result<Source<N>, E> {
        Ok(match self {
            Self::Lookup => Source::Lookup,
            Self::Model(model) => Source::Model(change(model)?),
            Self::Cascade(model) => Source::Cascade(change(model)?),
        })
    }
}

impl FromStr for Source<ModelReference> {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if text == LOOKUP {
            return Ok(Self::Lookup);
        }
        let Some(model) = text
            .strip_prefix(LOOKUP)
            .and_then(|rest| rest.strip_prefix('+'))
        else {
            return Ok(Self::Model(text.parse()?));
        };
        if model.is_empty() || model == LOOKUP {
            let text = text.to_owned();
            return Err(SourceError::NoModel { text });
        }
        Ok(Self::Cascade(model.parse()?))
    }
}

impl<M: fmt::Display> fmt::Display for Source<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup => f.write_str(LOOKUP),
            Self::Model(model) => model.fmt(f),
            Self::Cascade(model) => write!(f, "{LOOKUP}+{model}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_alike() {
        for text in [
            "ngram",
            "smollm2-135m",
            "ngram+smollm2-135m",
            "ngram+./a.gguf",
            "./ngram",
        ] {
            let source: Source<ModelReference> = text.parse().unwrap();
            assert_eq!(source.to_string(), text);
            assert_eq!(source.model().is_none(), text == "ngram");
        }
    }

    #[test]
    fn cascade_without_a_model_says_what_to_write() {
        for text in ["ngram+", "ngram+ngram"] {
            let error = text.parse::<Source<ModelReference>>().unwrap_err();
            assert!(error.to_string().contains("ngram+MODEL"), "{error}");
        }
        assert!("".parse::<Source<ModelReference>>().is_err());
    }
}
