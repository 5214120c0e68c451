//! Replies cut at every place are read alike.

use super::*;

/// What is read of a text that comes in two parts, cut at every character, and in parts of every length.
fn read(form: &OutputForm, text: &str) -> Vec<Addition> {
    let whole = parts(form, &[text]);
    for (cut, _) in text.char_indices() {
        assert_eq!(
            parts(form, &[&text[..cut], &text[cut..]]),
            whole,
            "{text:?} cut at {cut}"
        );
    }
    let characters: Vec<char> = text.chars().collect();
    for length in 1..8 {
        let pieces: Vec<String> = characters
            .chunks(length)
            .map(|c| c.iter().collect())
            .collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        assert_eq!(parts(form, &pieces), whole, "{text:?} by {length}");
    }
    whole
}

fn parts(form: &OutputForm, parts: &[&str]) -> Vec<Addition> {
    let mut reader = OutputReader::new(form);
    let mut additions: Vec<Addition> = Vec::new();
    for part in parts {
        additions.extend(reader.push(part));
    }
    additions.extend(reader.finish());
    reader.merged(additions)
}

fn calling(syntax: ToolSyntax) -> OutputForm {
    OutputForm {
        calls: Some(CallForm {
            syntax,
            tools: vec!["add".to_owned(), "get \"x\"".to_owned()],
            is_single: false,
        }),
        ..OutputForm::default()
    }
}

fn text(text: &str) -> Addition {
    Addition::Text(text.to_owned())
}

fn call(name: &str, arguments: &str) -> [Addition; 2] {
    [
        Addition::Call(name.to_owned()),
        Addition::Arguments(arguments.to_owned()),
    ]
}

#[test]
fn tagged_calls_are_found_among_text() {
    let form = calling(ToolSyntax::Tagged);
    let reply = "Let me see.\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 3, \"b\": [4, {\"}\": \"\\\"{\"}]}}\n\
                 </tool_call>\n<tool_call>\n{\"name\": \"get \\\"x\\\"\", \"arguments\": {}}\n</tool_call>";
    let expected = [
        vec![text("Let me see.")],
        call("add", "{\"a\": 3, \"b\": [4, {\"}\": \"\\\"{\"}]}").to_vec(),
        call("get \"x\"", "{}").to_vec(),
    ];
    assert_eq!(read(&form, reply), expected.concat());
}

#[test]
fn order_spelling_and_lack_of_arguments_do_not_matter() {
    let form = calling(ToolSyntax::Tagged);
    for (inner, arguments) in [
        ("{\"arguments\": {\"a\":1}, \"name\": \"add\"}", "{\"a\":1}"),
        ("{\"name\":\"add\",\"parameters\":{\"a\":1}}", "{\"a\":1}"),
        ("{\"name\": \"add\"}", "{}"),
        ("{\"name\": \"add\", \"arguments\": null}", "{}"),
        (
            "{\"name\": \"add\", \"arguments\": \"{\\\"a\\\":1}\"}",
            "{\"a\":1}",
        ),
        (
            " {\n \"name\" : \"add\" ,\n \"arguments\" : { \"a\": 1 }\n}",
            "{ \"a\": 1 }",
        ),
    ] {
        let reply = format!("<tool_call>{inner}</tool_call>");
        assert_eq!(read(&form, &reply), call("add", arguments), "{inner}");
    }
}

#[test]
fn text_that_is_no_call_stays_text() {
    let form = calling(ToolSyntax::Tagged);
    for reply in [
        "a <tool_call is not a tag",
        "use the <tool_call> tag",
        "plain  text \n",
        "<tool_call>\nnothing",
        "<tool_call>{\"nom\": 1}",
        "so\n<tool_call>\n{\"nom\": 1}\n</tool_call>\n",
        "<tool_call>\n{\"name\": \"ad",
        "<tool_call>{\"name\": \"add\"，\"arguments\": {}}",
        "1 < 2 <tool",
        "{\"name\": \"add\"",
        "{\"name\": \"add\", \"arguments\": {\"a\": ",
        "{\"name\": \"add\"，\"arguments\": {}}",
        "  \n",
    ] {
        assert_eq!(read(&form, reply), [text(reply)]);
    }
    assert_eq!(read(&form, ""), []);
}

#[test]
fn text_after_calls_stays_as_it_is() {
    let after = "\n\nThis, here; will help: {\"a\": 1}]\n";
    for (syntax, reply) in [
        (
            ToolSyntax::Tagged,
            "<tool_call>\n{\"name\": \"add\", \"arguments\": {}}\n</tool_call>",
        ),
        (
            ToolSyntax::List,
            "[TOOL_CALLS][{\"name\": \"add\", \"arguments\": {}}]",
        ),
        (ToolSyntax::Bare, "{\"name\": \"add\", \"parameters\": {}}"),
    ] {
        let expected = [&call("add", "{}")[..], &[text(after)]].concat();
        assert_eq!(read(&calling(syntax), &format!("{reply}{after}")), expected);
    }
}

#[test]
fn one_call_is_read_where_several_may_not_come() {
    let form = |syntax| {
        let mut form = calling(syntax);
        form.calls = form.calls.map(|calls| CallForm {
            is_single: true,
            ..calls
        });
        form
    };
    let one = "{\"name\": \"add\", \"arguments\": {\"b\": \"</tool_call>\"}}";
    for (syntax, reply) in [
        (
            ToolSyntax::Tagged,
            format!("<tool_call>{one}</tool_call>\n<tool_call>{one}</tool_call>"),
        ),
        (ToolSyntax::List, format!("[TOOL_CALLS][{one}, {one}]")),
        (ToolSyntax::Bare, format!("{one}; {one}")),
    ] {
        let expected = call("add", "{\"b\": \"</tool_call>\"}");
        assert_eq!(read(&form(syntax), &reply), expected);
    }
}

#[test]
fn call_that_is_cut_off_keeps_the_arguments_that_came() {
    let form = calling(ToolSyntax::Tagged);
    let reply = "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1";
    assert_eq!(read(&form, reply), call("add", "{\"a\": 1"));
}

#[test]
fn lists_of_calls_follow_their_token() {
    let form = calling(ToolSyntax::List);
    let reply = "Sure.[TOOL_CALLS][{\"name\": \"add\", \"arguments\": {\"a\": 1}}, {\"name\": \"add\", \"arguments\": {}}]";
    let expected = [
        vec![text("Sure.")],
        call("add", "{\"a\": 1}").to_vec(),
        call("add", "{}").to_vec(),
    ];
    assert_eq!(read(&form, reply), expected.concat());
}

#[test]
fn bare_call_is_read_in_every_family() {
    let reply =
        "{\"name\": \"add\", \"arguments\": {\"a\":1}}\n{\"name\": \"add\", \"arguments\": {}}";
    let expected = [call("add", "{\"a\":1}"), call("add", "{}")];
    for syntax in [ToolSyntax::Tagged, ToolSyntax::List, ToolSyntax::Bare] {
        let form = calling(syntax);
        assert_eq!(read(&form, reply), expected.concat());
        for other in [
            "{\"name\": \"ad\"}",
            "{\"name\": \"adder\"}",
            " {",
            "[{\"name\": \"add\"}]",
        ] {
            assert_eq!(read(&form, other), [text(other)]);
        }
    }
}

#[test]
fn bare_call_begins_the_reply_and_names_a_tool() {
    let form = calling(ToolSyntax::Bare);
    let reply =
        "{\"name\": \"add\", \"parameters\": {\"a\": 1}}; {\"name\": \"add\", \"parameters\": {}}";
    let expected = [call("add", "{\"a\": 1}"), call("add", "{}")];
    assert_eq!(read(&form, reply), expected.concat());
    let reply = "<|python_tag|>{\"name\": \"get \\\"x\\\"\", \"parameters\": {\"a\": 1}}";
    assert_eq!(read(&form, reply), call("get \"x\"", "{\"a\": 1}"));
    for reply in [
        "{\"name\": \"other\"}",
        "{\"a\": 1}",
        "text {\"name\": \"add\"}",
        "{",
    ] {
        assert_eq!(read(&form, reply), [text(reply)]);
    }
}

#[test]
fn reasoning_is_split_from_the_answer() {
    let form = |opens_thought| OutputForm {
        thinks: true,
        opens_thought,
        ..OutputForm::default()
    };
    let both = [
        Addition::Reasoning("2 < 3, so </yes".to_owned()),
        text("Yes.\n"),
    ];
    let reply = "<think>\n2 < 3, so </yes\n</think>\n\nYes.\n";
    assert_eq!(read(&form(false), reply), both);
    assert_eq!(read(&form(true), reply.trim_start_matches("<think>")), both);
    assert_eq!(
        read(&form(false), "<think>\n\n</think>\n\nYes."),
        [text("Yes.")]
    );
    assert_eq!(read(&form(false), " <thin ice"), [text(" <thin ice")]);
    let unfinished = [Addition::Reasoning("So far".to_owned())];
    assert_eq!(read(&form(true), "So far"), unfinished);
}

#[test]
fn calls_in_a_thought_are_reasoning() {
    let form = OutputForm {
        thinks: true,
        ..calling(ToolSyntax::Tagged)
    };
    let reply = "<think>I could <tool_call></think><tool_call>{\"name\": \"add\"}</tool_call>";
    let expected = [
        vec![Addition::Reasoning("I could <tool_call>".to_owned())],
        call("add", "{}").to_vec(),
    ];
    assert_eq!(read(&form, reply), expected.concat());
}
