//! References by which users name a model: a known name, a path, or a file on the hub.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

use super::error::StoreError;

/// Prefix of the profile of a simulated model.
const SIMULATED: &str = "simulated:";

/// A model as users name it: a known name, a path to a GGUF file or to a folder with `config.json`, `*.safetensors` and
/// `tokenizer.json`, `hf:owner/repository/file`, or `simulated:PROFILE.toml`, a simulated model.
///
/// Text with a path separator, or that ends in `.gguf`, is a path; other text is a known name. The file system is not
/// asked, so a reference means the same in every folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelReference(pub(super) Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Known(String),
    Path(PathBuf),
    Hub(HubFile),
    /// Profile of a simulated model.
    Simulated(PathBuf),
}

/// A file of a repository on the model hub.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct HubFile {
    /// `owner/repository`.
    pub(super) repository: String,
    /// Path inside the repository.
    pub(super) file: String,
}

impl FromStr for ModelReference {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let refused = |why: &str| StoreError::InvalidReference {
            text: text.to_owned(),
            why: why.to_owned(),
        };
        if text.trim().is_empty() {
            return Err(refused("it is empty"));
        }
        if let Some(file) = text.strip_prefix("hf:") {
            let file = HubFile::try_from(file.to_owned()).map_err(|why| refused(&why))?;
            if !is_gguf(&file.file) {
                return Err(refused("a file on the hub must end in .gguf"));
            }
            return Ok(Self(Kind::Hub(file)));
        }
        if let Some(profile) = text.strip_prefix(SIMULATED) {
            if Path::new(profile)
                .extension()
                .is_none_or(|kind| kind != "toml")
            {
                return Err(refused(
                    "the profile of a simulated model must end in .toml",
                ));
            }
            return Ok(Self(Kind::Simulated(profile.into())));
        }
        let is_path = text.contains(['/', '\\']) || matches!(text, "." | "..") || is_gguf(text);
        Ok(Self(if is_path {
            Kind::Path(text.into())
        } else {
            Kind::Known(text.to_owned())
        }))
    }
}

impl fmt::Display for ModelReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Known(name) => f.write_str(name),
            Kind::Path(path) => write!(f, "{}", path.display()),
            Kind::Hub(file) => write!(f, "{file}"),
            Kind::Simulated(path) => write!(f, "{SIMULATED}{}", path.display()),
        }
    }
}

impl HubFile {
    /// The file's name without the folders above it.
    pub(super) fn name(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or(&self.file)
    }
}

impl TryFrom<String> for HubFile {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wanted = "a file on the hub is owner/repository/file";
        let components: Vec<&str> = text.splitn(3, '/').collect();
        let [owner, repository, file] = components[..] else {
            return Err(wanted.to_owned());
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
        let sound = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(plain);
        if !text.split('/').all(sound) {
            return Err(format!(
                "{wanted}, made of letters, digits, '.', '_', '-' and '+'"
            ));
        }
        Ok(Self {
            repository: format!("{owner}/{repository}"),
            file: file.to_owned(),
        })
    }
}

impl fmt::Display for HubFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf:{}/{}", self.repository, self.file)
    }
}

fn is_gguf(text: &str) -> bool {
    let extension = Path::new(text).extension();
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_alone_decides_what_a_reference_is() {
        let kind = |text: &str| text.parse::<ModelReference>().unwrap().0;
        assert_eq!(
            kind("qwen2.5-coder-1.5b"),
            Kind::Known("qwen2.5-coder-1.5b".into())
        );
        for path in [
            "./model",
            "/models/a",
            "a/b",
            "model.gguf",
            "MODEL.GGUF",
            "..",
        ] {
            assert_eq!(kind(path), Kind::Path(path.into()));
        }
        let hub = HubFile {
            repository: "owner/repo".into(),
            file: "folder/model.gguf".into(),
        };
        assert_eq!(kind("hf:owner/repo/folder/model.gguf"), Kind::Hub(hub));
    }

    #[test]
    fn references_print_as_they_were_written() {
        for text in [
            "smollm2-135m",
            "./x/model.gguf",
            "hf:o/r/sub/m.gguf",
            "simulated:x/slow.toml",
        ] {
            assert_eq!(text.parse::<ModelReference>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn malformed_references_say_what_is_wanted() {
        for (text, part) in [
            ("", "empty"),
            ("hf:", "owner/repository/file"),
            ("hf:owner/repo", "owner/repository/file"),
            ("hf:owner/../secret/x.gguf", "made of letters"),
            ("hf:owner//x.gguf", "made of letters"),
            ("hf:owner/repo/x y.gguf", "made of letters"),
            ("hf:owner/repo/x.gguf?download=1", "made of letters"),
            ("hf:owner/repo/model.safetensors", ".gguf"),
            ("simulated:slow", ".toml"),
        ] {
            let error = text.parse::<ModelReference>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
