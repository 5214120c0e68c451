//! Input lines for the chat itself rather than the model.

/// Text of `/help`.
pub(super) const HELP: &str = "\
/stats               tokens, time and speed of the answers
/reset               forget the conversation, keep the instructions
/system TEXT         new instructions; none without TEXT
/speculation on|off  with or without drafters
/quit                leave; so does the end of input
To send the model a line that begins with a slash, begin it with two.";

/// A command to the chat.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum ChatCommand {
    Stats,
    Reset,
    System(Option<String>),
    Speculation(bool),
    Help,
    Quit,
}

impl ChatCommand {
    /// The command on a line; an error says what would be right. `None`: the line is for the model.
    pub(super) fn parse(line: &str) -> Option<Result<Self, String>> {
        let line = line.trim().strip_prefix('/')?;
        if line.starts_with('/') {
            return None;
        }
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let command = match (name, rest) {
            ("stats", "") => Self::Stats,
            ("reset", "") => Self::Reset,
            ("help", "") => Self::Help,
            ("quit" | "exit", "") => Self::Quit,
            ("system", "") => Self::System(None),
            ("system", text) => Self::System(Some(text.to_owned())),
            ("speculation", "on") => Self::Speculation(true),
            ("speculation", "off") => Self::Speculation(false),
            ("speculation", _) => {
                return Some(Err("/speculation needs on or off".to_owned()));
            }
            ("stats" | "reset" | "help" | "quit" | "exit", _) => {
                return Some(Err(format!("/{name} takes no argument")));
            }
            _ => return Some(Err(format!("/{name} is no command: /help lists them"))),
        };
        Some(Ok(command))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_distinguished_from_input_for_the_model() {
        let parse = |line: &str| ChatCommand::parse(line);
        assert_eq!(parse("hello /quit"), None);
        assert_eq!(parse("//etc is a folder"), None);
        assert_eq!(parse(" /stats "), Some(Ok(ChatCommand::Stats)));
        assert_eq!(parse("/system"), Some(Ok(ChatCommand::System(None))));
        let system = ChatCommand::System(Some("Be brief.".to_owned()));
        assert_eq!(parse("/system  Be brief."), Some(Ok(system)));
        assert_eq!(
            parse("/speculation off"),
            Some(Ok(ChatCommand::Speculation(false)))
        );
    }

    #[test]
    fn wrong_commands_are_answered_with_what_would_be_right() {
        for (line, expected) in [
            ("/speculation", "on or off"),
            ("/stat", "/help"),
            ("/reset now", "no argument"),
        ] {
            let wrong = ChatCommand::parse(line).unwrap().unwrap_err();
            assert!(wrong.contains(expected), "{line}: {wrong}");
        }
    }
}
