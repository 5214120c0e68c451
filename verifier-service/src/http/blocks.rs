//! A reply as blocks of one kind each, in their order: reasoning, text, and calls of tools. The newer APIs answer in this form.

use proto::verifier::{Finish, FinishReason, Part};

use super::{
    error::ApiError,
    output::{Addition, OutputForm, OutputReader, call_id},
    replies::Replies,
};

/// A block of a reply.
#[derive(Debug)]
pub(super) struct Block {
    /// Index among the reply's blocks.
    pub(super) index: usize,
    pub(super) id: String,
    pub(super) kind: BlockKind,
    /// Reasoning, text, or the arguments of a call, which are JSON.
    pub(super) text: String,
    /// True if the reply was cut off within the block.
    pub(super) is_cut: bool,
}

#[derive(Debug, Eq, PartialEq)]
pub(super) enum BlockKind {
    Reasoning,
    Text,
    /// A call of the tool with this name.
    Call(String),
}

/// A change of a block.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Change {
    Opened,
    /// This has been added.
    Extended(String),
    /// Nothing follows in it.
    Closed,
}

/// The blocks of a reply so far.
#[derive(Debug)]
pub(super) struct Blocks {
    reader: OutputReader,
    blocks: Vec<Block>,
}

impl Blocks {
    pub(super) fn new(form: &OutputForm) -> Self {
        Self {
            reader: OutputReader::new(form),
            blocks: Vec::new(),
        }
    }

    pub(super) fn all(&self) -> &[Block] {
        &self.blocks
    }

    /// Takes more of the reply's text. Returns what changes, with the index of the block.
    pub(super) fn push(&mut self, text: &str) -> Vec<(usize, Change)> {
        let additions = self.reader.push(text);
        self.add(additions)
    }

    /// Takes the end of the reply. There is one block at least, then.
    pub(super) fn finish(&mut self, reason: FinishReason) -> Vec<(usize, Change)> {
        let additions = self.reader.finish();
        let mut changes = self.add(additions);
        if self.blocks.is_empty() {
            self.open(BlockKind::Text, &mut changes);
        }
        if let Some(last) = self.blocks.last_mut() {
            last.is_cut = matches!(reason, FinishReason::Length | FinishReason::ContextFull);
            changes.push((last.index, Change::Closed));
        }
        changes
    }

    fn add(&mut self, additions: Vec<Addition>) -> Vec<(usize, Change)> {
        let mut changes = Vec::new();
        for addition in additions {
            let (kind, more) = match addition {
                Addition::Reasoning(more) => (Some(BlockKind::Reasoning), more),
                Addition::Text(more) => (Some(BlockKind::Text), more),
                Addition::Call(name) => (Some(BlockKind::Call(name)), String::new()),
                Addition::Arguments(more) => (None, more),
            };
            if let Some(kind) = kind {
                let last = self.blocks.last().map(|block| &block.kind);
                // Two calls in succession are two blocks, even of one tool.
                if last != Some(&kind) || matches!(kind, BlockKind::Call(_)) {
                    self.open(kind, &mut changes);
                }
            }
            if let Some(last) = self.blocks.last_mut().filter(|_| !more.is_empty()) {
                last.text.push_str(&more);
                changes.push((last.index, Change::Extended(more)));
            }
        }
        changes
    }

    fn open(&mut self, kind: BlockKind, changes: &mut Vec<(usize, Change)>) {
        if let Some(last) = self.blocks.last() {
            changes.push((last.index, Change::Closed));
        }
        let index = self.blocks.len();
        self.blocks.push(Block {
            index,
            id: call_id(),
            kind,
            text: String::new(),
            is_cut: false,
        });
        changes.push((index, Change::Opened));
    }
}

/// Waits for the one reply of a request.
pub(super) async fn whole(
    mut replies: Replies,
    form: &OutputForm,
) -> Result<(Blocks, Finish), ApiError> {
    let mut blocks = Blocks::new(form);
    while let Some((_, part)) = replies.next().await {
        match part? {
            Part::Reading(_) => {}
            Part::Chunk(chunk) => {
                blocks.push(&chunk.text());
            }
            Part::Finish(finish) if finish.reason == FinishReason::Cancelled => {
                return Err(ApiError::stopping());
            }
            Part::Finish(finish) => {
                blocks.finish(finish.reason);
                return Ok((blocks, *finish));
            }
        }
    }
    Err(ApiError::fault("the reply has ended early"))
}

#[cfg(test)]
mod tests {
    use tokenizer::template::ToolSyntax;

    use super::{super::output::CallForm, *};

    const REPLY: &str = "<think>hm</think>\n\nI call.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>\n\
                         <tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";

    fn form() -> OutputForm {
        OutputForm {
            thinks: true,
            calls: Some(CallForm {
                syntax: ToolSyntax::Tagged,
                tools: vec!["f".to_owned()],
                is_single: false,
            }),
            ..OutputForm::default()
        }
    }

    #[test]
    fn changes_put_together_are_the_blocks_wherever_the_text_is_cut() {
        for step in [1, 2, 7, REPLY.len()] {
            let mut blocks = Blocks::new(&form());
            let mut changes = Vec::new();
            for part in REPLY.as_bytes().chunks(step) {
                changes.extend(blocks.push(std::str::from_utf8(part).unwrap()));
            }
            changes.extend(blocks.finish(FinishReason::Length));
            let mut texts: Vec<String> = Vec::new();
            let mut open = None;
            for (index, change) in changes {
                match change {
                    Change::Opened => {
                        assert_eq!((open, index), (None, texts.len()));
                        open = Some(index);
                        texts.push(String::new());
                    }
                    Change::Extended(more) => {
                        assert_eq!(open, Some(index));
                        texts[index].push_str(&more);
                    }
                    Change::Closed => assert_eq!(open.take(), Some(index)),
                }
            }
            assert_eq!(open, None);
            assert_eq!(texts, ["hm", "I call.", "{\"a\": 1}", "{}"]);
            let all = blocks.all();
            let same = all
                .iter()
                .zip(&texts)
                .all(|(block, text)| block.text == *text);
            assert!(same && all[2].kind == BlockKind::Call("f".to_owned()));
            let cut: Vec<bool> = all.iter().map(|block| block.is_cut).collect();
            assert_eq!(cut, [false, false, false, true]);
        }
    }

    #[test]
    fn empty_reply_is_one_empty_block() {
        let mut blocks = Blocks::new(&OutputForm::default());
        let changes = blocks.finish(FinishReason::Stop);
        assert_eq!(changes, [(0, Change::Opened), (0, Change::Closed)]);
        assert_eq!(blocks.all()[0].kind, BlockKind::Text);
    }
}
