//! Input lines: from an editor in a terminal, plain lines elsewhere.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use anyhow::bail;
use proto::limits::MAX_PROMPT_BYTES;
use rustyline::{DefaultEditor, error::ReadlineError};
use tokio::{sync::mpsc, task::spawn_blocking};

/// A line, or the end of input.
#[derive(Debug)]
pub(super) enum Line {
    Text(String),
    End,
}

/// Source of the lines.
pub(super) enum Input {
    /// The editor; `None` while it reads a line on another thread.
    Terminal(Option<Box<DefaultEditor>>),
    Lines(mpsc::Receiver<anyhow::Result<String>>),
}

impl Input {
    pub(super) fn open() -> anyhow::Result<Self> {
        if io::stdin().is_terminal() && io::stdout().is_terminal() {
            return Ok(Self::Terminal(Some(Box::new(DefaultEditor::new()?))));
        }
        // At most one line is read ahead.
        let (lines, receiver) = mpsc::channel(1);
        std::thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || {
                while let Some(line) = read_line() {
                    if lines.blocking_send(line).is_err() {
                        break;
                    }
                }
            })?;
        Ok(Self::Lines(receiver))
    }

    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    pub(super) async fn next(&mut self) -> anyhow::Result<Line> {
        match self {
            Self::Lines(lines) => match lines.recv().await {
                Some(line) => line.map(Line::Text),
                None => Ok(Line::End),
            },
            Self::Terminal(editor) => {
                let Some(mut reading) = editor.take() else {
                    return Ok(Line::End);
                };
                let read = spawn_blocking(move || {
                    let line = reading.readline("> ");
                    if let Ok(line) = &line {
                        // The editor works without its history.
                        drop(reading.add_history_entry(line));
                    }
                    (reading, line)
                });
                let (idle, line) = read.await?;
                *editor = Some(idle);
                match line {
                    Ok(line) => Ok(Line::Text(line)),
                    Err(ReadlineError::Interrupted | ReadlineError::Eof) => Ok(Line::End),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }
}

/// One line of standard input without its end; none at the end of input.
fn read_line() -> Option<anyhow::Result<String>> {
    let limit = MAX_PROMPT_BYTES as u64 + 1;
    let mut line = String::new();
    match io::stdin().lock().take(limit).read_line(&mut line) {
        Ok(0) => None,
        Ok(read) if read as u64 == limit && !line.ends_with('\n') => Some(too_long()),
        Ok(_) => Some(Ok(line.trim_end_matches(['\r', '\n']).to_owned())),
        Err(error) => Some(Err(error.into())),
    }
}

fn too_long() -> anyhow::Result<String> {
    bail!("a line has more than {MAX_PROMPT_BYTES} bytes: shorten it")
}
