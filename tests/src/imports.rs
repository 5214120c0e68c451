//! Imports between the modules of one crate, read off their text, and the circles that they close.
//!
//! Ours because no tool that works on stable Rust lists them. A path counts if it leads to another file of the crate: in a
//! `use`, or written out in the code. A `pub use` that the file does not need itself only hands a name on, so a path
//! through it leads to the file that defines the name. A child may use its own ancestors: it is a part of them, and their
//! file is its scope. Everything else that leads back to where it began is a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::tree::{SourceFile, rust_sources};

/// Names of modules from the root of the crate on.
type Place = Vec<String>;

/// A name that a module brings into scope.
#[derive(Debug)]
struct Import {
    alias: String,
    path: Place,
    is_public: bool,
    /// Module that the path is relative to: the file's, or one that lies inside the file.
    base: Place,
}

/// A file.
#[derive(Debug)]
struct Module {
    file: PathBuf,
    place: Place,
    imports: Vec<Import>,
    /// Paths of two names or more in the code, with the module that they are relative to.
    paths: Vec<(Place, Place)>,
    /// Names in the code outside of imports.
    names: BTreeSet<String>,
    /// Names of modules that the file contains.
    inline: BTreeSet<Place>,
}

/// Circles of a crate, by its folder. Each is the ties that close it, as `from -> to: names`.
pub fn circles(member: &str) -> Vec<Vec<String>> {
    let folder = Path::new(member).join("src");
    let mut sources = rust_sources();
    sources.retain(|source| source.path.starts_with(&folder) && !source.is_unit_test());
    circles_of(&folder, &sources)
}

fn circles_of(folder: &Path, sources: &[SourceFile]) -> Vec<Vec<String>> {
    let modules: Vec<Module> = sources
        .iter()
        .map(|source| Module::of(folder, source))
        .collect();
    let ties = ties(&modules);
    let mut circles = Vec::new();
    let mut seen = BTreeSet::new();
    for start in 0..modules.len() {
        let within: BTreeSet<usize> = reached(&ties, start)
            .into_iter()
            .filter(|other| reached(&ties, *other).contains(&start))
            .collect();
        if !within.is_empty() && seen.is_disjoint(&within) {
            let inside = |(from, to): &(usize, usize)| within.contains(from) && within.contains(to);
            let shown = ties.iter().filter(|(tie, _)| inside(tie));
            let shown = shown.map(|((from, to), names)| {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let (from, to) = (modules[*from].file.display(), modules[*to].file.display());
                format!("{from} -> {to}: {}", names.join(", "))
            });
            circles.push(shown.collect());
            seen.extend(within);
        }
    }
    circles
}

/// Names that a file takes from another, by the places of both in the list. O(names · modules).
fn ties(modules: &[Module]) -> BTreeMap<(usize, usize), BTreeSet<String>> {
    let mut ties: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for (from, module) in modules.iter().enumerate() {
        let imports = module.imports.iter();
        let used =
            imports.filter(|import| !import.is_public || module.names.contains(&import.alias));
        let used = used.map(|import| (&import.base, &import.path));
        let written = module.paths.iter().map(|(base, path)| (base, path));
        for (base, path) in used.chain(written) {
            let Some((to, name)) = definition(modules, module, (base, path), 0) else {
                continue;
            };
            if from != to && !module.place.starts_with(&modules[to].place) {
                ties.entry((from, to)).or_default().insert(name);
            }
        }
    }
    ties
}

/// Modules that ties lead to from here, itself only by a circle.
fn reached(ties: &BTreeMap<(usize, usize), BTreeSet<String>>, start: usize) -> BTreeSet<usize> {
    let (mut found, mut open) = (BTreeSet::new(), vec![start]);
    while let Some(at) = open.pop() {
        let next = ties.keys().filter(|(from, _)| *from == at);
        open.extend(next.map(|(_, to)| *to).filter(|to| found.insert(*to)));
    }
    found
}

/// File in which a path ends, and the name there; none for a path that leaves the crate.
fn definition(
    modules: &[Module],
    module: &Module,
    (base, path): (&Place, &Place),
    depth: usize,
) -> Option<(usize, String)> {
    // Deeper than any chain of re-exports, so that one that leads to itself ends.
    const DEEPEST: usize = 12;
    let place = absolute(modules, module, base, path)?;
    let is_prefix = |other: &&Module| place.starts_with(&other.place);
    let owner = modules
        .iter()
        .filter(is_prefix)
        .max_by_key(|other| other.place.len())?;
    let index = modules.iter().position(|other| other.file == owner.file)?;
    let rest = &place[owner.place.len()..];
    let Some(name) = rest.first() else {
        let name = place.last().map_or("crate", String::as_str);
        return Some((index, name.to_owned()));
    };
    let handed_on = |import: &&Import| import.is_public && import.alias == *name;
    if let Some(import) = owner.imports.iter().find(handed_on)
        && depth < DEEPEST
    {
        let mut path = import.path.clone();
        path.extend_from_slice(&rest[1..]);
        return definition(modules, owner, (&import.base, &path), depth + 1);
    }
    Some((index, name.clone()))
}

/// A path from the root of the crate on.
fn absolute(modules: &[Module], module: &Module, base: &Place, path: &Place) -> Option<Place> {
    let mut place = base.clone();
    let mut names = path.iter().peekable();
    match names.peek()?.as_str() {
        "crate" => {
            names.next();
            place.clear();
        }
        "self" => {
            names.next();
        }
        "super" => {
            while names.next_if(|name| *name == "super").is_some() {
                place.pop()?;
            }
        }
        first => {
            let child = [&place[..], &[first.to_owned()]].concat();
            let is_child = modules.iter().any(|other| other.place == child);
            if !is_child && !module.inline.contains(&child) {
                let in_scope = |import: &&Import| import.alias == first && import.path != *path;
                let import = module.imports.iter().find(in_scope)?;
                place = absolute(modules, module, &import.base, &import.path)?;
                names.next();
            }
        }
    }
    place.extend(names.cloned());
    Some(place)
}

impl Module {
    fn of(folder: &Path, source: &SourceFile) -> Self {
        let below = source.path.strip_prefix(folder).unwrap_or(&source.path);
        let names = below.with_extension("");
        let names = names
            .components()
            .map(|name| name.as_os_str().to_string_lossy().into_owned());
        let mut place: Place = names.collect();
        if matches!(place.as_slice(), [root] if root == "lib" || root == "main") {
            place.clear();
        }
        let text: Vec<&str> = source
            .production_lines()
            .into_iter()
            .map(|(_, line)| line)
            .collect();
        let mut module = Self {
            file: source.path.clone(),
            place,
            imports: Vec::new(),
            paths: Vec::new(),
            names: BTreeSet::new(),
            inline: BTreeSet::new(),
        };
        module.read(&words(&text.join("\n")));
        module
    }

    fn read(&mut self, words: &[String]) {
        // Modules that are open here, each with the depth of its braces.
        let mut open: Vec<(String, usize)> = Vec::new();
        let (mut depth, mut at) = (0, 0);
        while at < words.len() {
            let base = || {
                let inner = open.iter().map(|(name, _)| name.clone());
                self.place.iter().cloned().chain(inner).collect::<Place>()
            };
            match words[at].as_str() {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    open.retain(|(_, outside)| *outside < depth);
                }
                "mod" if words.get(at + 2).is_some_and(|word| word == "{") => {
                    self.inline
                        .insert([base(), vec![words[at + 1].clone()]].concat());
                    open.push((words[at + 1].clone(), depth));
                    at += 1;
                }
                // Not the `use<>` of a signature.
                "use" if words.get(at + 1).is_some_and(|word| word != "<") => {
                    let base = base();
                    let is_public = at > 0 && ["pub", ")"].contains(&words[at - 1].as_str());
                    let end = (at..words.len()).find(|end| words[*end] == ";");
                    let end = end.unwrap_or(words.len());
                    for (alias, path) in leaves(&words[at + 1..end]) {
                        let base = base.clone();
                        self.imports.push(Import {
                            alias,
                            path,
                            is_public,
                            base,
                        });
                    }
                    at = end;
                }
                word if is_name(word) => {
                    let path = path_at(words, at);
                    self.names.insert(path[0].clone());
                    at += 2 * (path.len() - 1);
                    if path.len() > 1 {
                        let base = base();
                        self.paths.push((base, path));
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
}

/// The path that begins at a word: names with `::` between them.
fn path_at(words: &[String], at: usize) -> Place {
    let mut path = vec![words[at].clone()];
    let mut next = at + 1;
    while words.get(next).is_some_and(|word| word == "::")
        && words.get(next + 1).is_some_and(|word| is_name(word))
    {
        path.push(words[next + 1].clone());
        next += 2;
    }
    path
}

/// Every name that the tree of a `use` brings in, with its path. A `*` brings in the module itself.
fn leaves(words: &[String]) -> Vec<(String, Place)> {
    let (mut found, mut prefix) = (Vec::new(), Place::new());
    // Lengths of the prefix where braces opened.
    let mut outer = vec![0];
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let ends = |next: Option<&&String>| next.is_none_or(|next| *next != "::");
        match word.as_str() {
            "{" => outer.push(prefix.len()),
            "}" => {
                outer.pop();
            }
            "," => prefix.truncate(outer.last().copied().unwrap_or_default()),
            "::" => {}
            "*" => found.push(("*".to_owned(), prefix.clone())),
            "self" if !prefix.is_empty() => {
                found.push((prefix[prefix.len() - 1].clone(), prefix.clone()));
            }
            name => {
                prefix.push(name.to_owned());
                if ends(words.peek()) {
                    let renamed = words
                        .next_if(|next| *next == "as")
                        .and_then(|_| words.next());
                    let alias = renamed.unwrap_or(word).clone();
                    found.push((alias, prefix.clone()));
                    prefix.pop();
                }
            }
        }
    }
    found
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and other signs of a program, without its comments, strings and characters.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if first == '"' {
            quoted(rest)
        } else if let Some(raw) = raw_string(rest) {
            raw
        } else if first == '\'' {
            character(rest)
        } else if first.is_alphanumeric() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let length = length.unwrap_or(rest.len());
            words.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            words.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                words.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    words
}

/// Length of the character that a text begins with; of its first sign alone if it is the name of a lifetime.
fn character(text: &str) -> usize {
    let inside = &text[1..];
    let mut signs = inside.chars();
    let skipped = match signs.next() {
        Some('\\') => 1 + signs.next().map_or(0, char::len_utf8),
        Some(sign) if signs.next() == Some('\'') => sign.len_utf8(),
        _ => return 1,
    };
    let end = inside[skipped..].find('\'');
    end.map_or(1, |end| 1 + skipped + end + 1)
}

/// Length of the string that a text begins with.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return at + 1,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// Length of the raw string that a text begins with, if it does.
fn raw_string(text: &str) -> Option<usize> {
    let opened = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let inside = opened.trim_start_matches('#');
    let end = format!("\"{}", "#".repeat(opened.len() - inside.len()));
    let inside = inside.strip_prefix('"')?;
    let before = text.len() - inside.len();
    Some(
        inside
            .find(&end)
            .map_or(text.len(), |at| before + at + end.len()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of circles in a crate of these files.
    fn check(files: &[(&str, &str)], expected: &[&[&str]]) {
        let source = |(path, text): &(&str, &str)| SourceFile::new(path, text);
        let sources: Vec<SourceFile> = files.iter().map(source).collect();
        assert_eq!(circles_of(Path::new("x/src"), &sources), expected);
    }

    #[test]
    fn siblings_that_import_each_other_are_a_circle() {
        let closed: &[&str] = &["x/src/a.rs -> x/src/b.rs: B", "x/src/b.rs -> x/src/a.rs: A"];
        let root = ("x/src/lib.rs", "mod a; mod b;");
        let a = ("x/src/a.rs", "use crate::b::B; struct A(B);");
        check(
            &[root, a, ("x/src/b.rs", "use super::{a::{A as Other}};")],
            &[closed],
        );
        check(
            &[root, a, ("x/src/b.rs", "fn f() -> crate::a::A { todo }")],
            &[closed],
        );
        check(
            &[
                root,
                a,
                (
                    "x/src/b.rs",
                    "// use crate::a::A;\nconst B: &str = \"crate::a::A\";",
                ),
            ],
            &[],
        );
    }

    #[test]
    fn names_handed_on_lead_to_the_file_that_defines_them() {
        let root = ("x/src/lib.rs", "mod a; mod b; mod c; pub use a::A;");
        let a = ("x/src/a.rs", "use crate::b::B;");
        let closed: &[&str] = &["x/src/a.rs -> x/src/b.rs: B", "x/src/b.rs -> x/src/a.rs: A"];
        check(&[root, a, ("x/src/b.rs", "use crate::A;")], &[closed]);
        check(
            &[
                root,
                a,
                ("x/src/b.rs", "use crate::c::C;"),
                ("x/src/c.rs", "struct C;"),
            ],
            &[],
        );
    }

    #[test]
    fn children_may_use_their_parents_and_nobody_else_round_about() {
        let root = ("x/src/lib.rs", "mod a; mod b;");
        let a = (
            "x/src/a.rs",
            "mod inner; use inner::Inner; pub struct A(Inner);",
        );
        check(
            &[
                root,
                a,
                ("x/src/a/inner.rs", "use super::A; pub struct Inner;"),
            ],
            &[],
        );
        let inner = ("x/src/a/inner.rs", "pub struct Inner(crate::b::B);");
        let b = ("x/src/b.rs", "use crate::a; pub struct B(a::A);");
        check(
            &[root, a, inner, b],
            &[&[
                "x/src/a.rs -> x/src/a/inner.rs: Inner",
                "x/src/a/inner.rs -> x/src/b.rs: B",
                "x/src/b.rs -> x/src/a.rs: A, a",
            ]],
        );
    }
}
