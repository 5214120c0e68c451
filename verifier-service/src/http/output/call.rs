//! One call of a tool: a JSON object with a name and arguments, read as it comes.

use serde_json::Value;

use super::Addition;

/// Names of the field with the arguments.
const ARGUMENTS: [&str; 2] = ["arguments", "parameters"];

/// Reader of one call, from its opening brace on.
#[derive(Debug, Default)]
pub(super) struct PartialCall {
    raw: String,
    /// Bytes of `raw` that have been looked at, and the depth of braces and brackets there.
    scanned: usize,
    depth: usize,
    in_text: bool,
    is_escaped: bool,
    head: Head,
}

/// What is known of the beginning of a call.
#[derive(Debug, Default)]
enum Head {
    #[default]
    Unknown,
    /// The name comes first, then the arguments: these are passed on as they come. The place up to which they were.
    Streamed(usize),
    /// The arguments are complete.
    Complete,
    /// Another order: the call is read when it is complete.
    Whole,
}

/// What an object has turned out to be, and the text after it.
#[derive(Debug)]
pub(super) enum Ended {
    Call { rest: String },
    Text { object: String, rest: String },
}

impl PartialCall {
    /// Reader of a call that is passed on when it is complete.
    pub(super) fn held() -> Self {
        Self {
            head: Head::Whole,
            ..Self::default()
        }
    }

    /// Reads more of the call; `additions` gets what is certain.
    pub(super) fn push(&mut self, text: &str, additions: &mut Vec<Addition>) -> Option<Ended> {
        self.raw.push_str(text);
        let mut end = None;
        while self.scanned < self.raw.len() {
            let byte = self.raw.as_bytes()[self.scanned];
            self.scanned += 1;
            let was = self.depth;
            self.scan(byte);
            if matches!(self.head, Head::Unknown) && was == 1 && !self.in_text {
                self.read_head(additions);
            }
            if let Head::Streamed(from) = self.head
                && was == 2
                && self.depth == 1
            {
                let more = self.raw[from..self.scanned].to_owned();
                additions.push(Addition::Arguments(more));
                self.head = Head::Complete;
            }
            if self.depth == 0 {
                end = Some(self.scanned);
                break;
            }
        }
        if let Head::Streamed(from) = self.head {
            additions.push(Addition::Arguments(self.raw[from..].to_owned()));
            self.head = Head::Streamed(self.raw.len());
        }
        let rest = self.raw.split_off(end?);
        if matches!(self.head, Head::Unknown | Head::Whole) {
            let Some((name, arguments)) = self.whole() else {
                let object = std::mem::take(&mut self.raw);
                return Some(Ended::Text { object, rest });
            };
            additions.extend([Addition::Call(name), Addition::Arguments(arguments)]);
        }
        Some(Ended::Call { rest })
    }

    /// Text of a call that never was completed, unless its beginning has been passed on.
    pub(super) fn abandoned(self) -> Option<String> {
        matches!(self.head, Head::Unknown | Head::Whole).then_some(self.raw)
    }

    fn scan(&mut self, byte: u8) {
        if self.in_text {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    /// Looks for a name, followed by arguments that begin with a brace.
    fn read_head(&mut self, additions: &mut Vec<Addition>) {
        let opened = self.scanned - 1;
        // In the middle of a character there is no text to look at.
        if self.raw.as_bytes()[opened] != b'{' {
            return;
        }
        // What is there so far, closed, is an object with the name and nothing else.
        let before = self.raw[..opened].trim_end();
        let key = ARGUMENTS.iter().find_map(|key| {
            let before = before.strip_suffix(':')?.trim_end();
            let before = before.strip_suffix(&format!("\"{key}\""))?.trim_end();
            before.strip_suffix(',')
        });
        let object = key.and_then(|before| serde_json::from_str(&format!("{before}}}")).ok());
        let name = object.and_then(|object: Value| match object {
            Value::Object(fields) if fields.len() == 1 => {
                fields.get("name")?.as_str().map(ToOwned::to_owned)
            }
            _ => None,
        });
        self.head = match name {
            Some(name) => {
                additions.push(Addition::Call(name));
                Head::Streamed(opened)
            }
            None => Head::Whole,
        };
    }

    /// Name and arguments of a complete call; `None` if it is none.
    fn whole(&self) -> Option<(String, String)> {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(&self.raw) else {
            return None;
        };
        let Some(Value::String(name)) = fields.remove("name") else {
            return None;
        };
        let arguments = ARGUMENTS.iter().find_map(|key| fields.remove(*key));
        let arguments = match arguments {
            None | Some(Value::Null) => "{}".to_owned(),
            Some(Value::String(text)) => text,
            Some(arguments) => arguments.to_string(),
        };
        Some((name, arguments))
    }
}
