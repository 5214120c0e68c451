//! Templates as Hugging Face renders them.

use super::*;

fn message(role: Role, content: &str) -> Message {
    Message::new(role, content)
}

fn render(source: &str, messages: &[Message]) -> Result<String, TemplateError> {
    ChatTemplate::new(source, "<s>", "</s>")?.render(&Chat::new(messages.to_vec()), true)
}

fn rendered(source: &str) -> String {
    let messages = [
        message(Role::System, "be brief"),
        message(Role::User, " hi "),
    ];
    render(source, &messages).unwrap()
}

#[test]
fn a_chat_is_rendered_with_roles_and_the_prompt_for_the_reply() {
    let source = "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m.content + \
                  '<|im_end|>' + '\n'}}{% endfor %}\
                  {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    let expected = "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\n hi <|im_end|>\n\
                    <|im_start|>assistant\n";
    assert_eq!(rendered(source), expected);
    let template = ChatTemplate::new(source, "", "").unwrap();
    let messages = [message(Role::Assistant, "x"), message(Role::Tool, "y")];
    assert_eq!(
        template
            .render(&Chat::new(messages.to_vec()), false)
            .unwrap(),
        "<|im_start|>assistant\nx<|im_end|>\n<|im_start|>user\n<tool_response>\ny\n</tool_response><|im_end|>\n"
    );
}

#[test]
fn block_tags_take_their_lines_with_them() {
    let source = "{% for m in messages %}\n    {% if m.role == 'user' %}\nU\n    {% endif %}\n\
                  {% endfor %}\nend\n";
    assert_eq!(rendered(source), "U\nend");
}

#[test]
fn tokens_and_absent_tools_are_in_scope() {
    let source = "{{ bos_token }}{{ eos_token }}{{ tools is none }}{{ documents is defined }}\
                  {% if tools %}tools{% endif %}";
    assert_eq!(rendered(source).to_lowercase(), "<s></s>truetrue");
}

#[test]
fn methods_of_python_and_slices_work() {
    let source = "{{ messages[1].content.strip().upper() }}{{ messages[::-1][0]['role'] }}\
                  {% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}\
                  {% endfor %}{{ ns.n }}{{ messages[0].content.split(' ')[-1] }}\
                  {% for m in messages %}{% if loop.first %}{% continue %}{% endif %}\
                  {{ m.content | trim }}{% endfor %}";
    assert_eq!(rendered(source), "HIuser2briefhi");
}

#[test]
fn json_is_not_escaped_for_html() {
    let source = r#"{{ {"a": "<b> & 'c' \\u003c", "d": [1, true, none]} | tojson }}"#;
    assert_eq!(
        rendered(source),
        r#"{"a": "<b> & 'c' \\u003c", "d": [1, true, null]}"#
    );
    assert_eq!(rendered("{{ [1] | tojson(indent=2) }}"), "[\n  1\n]");
}

#[test]
fn clock_is_stopped() {
    assert_eq!(rendered("{{ strftime_now('%d %b %Y') }}"), "26 Jul 2024");
    assert!(matches!(
        render("{{ strftime_now('%Q') }}", &[]),
        Err(TemplateError::Render(_))
    ));
}

#[test]
fn a_template_that_refuses_says_why() {
    let source = "{% if messages[0].role == 'user' %}{{ raise_exception('no system') }}{% endif %}";
    let error = render(source, &[message(Role::User, "x")]).unwrap_err();
    assert!(
        matches!(&error, TemplateError::Refused(why) if why == "no system"),
        "{error:?}"
    );
}

#[test]
fn broken_templates_are_distinguished_from_failing_ones() {
    let broken = ChatTemplate::new("{% for %}", "", "").unwrap_err();
    assert!(matches!(broken, TemplateError::Syntax(_)));
    let failing = render("{{ messages.nothing.at_all }}", &[]).unwrap_err();
    assert!(matches!(failing, TemplateError::Render(_)));
}

#[test]
fn without_a_template_a_transcript_ends_where_the_model_speaks() {
    let messages = [
        message(Role::System, "Be brief.\n"),
        message(Role::User, "Hello"),
        message(Role::Assistant, "Hi"),
        message(Role::User, "Bye"),
    ];
    let expected = "Be brief.\n\n### Instruction:\nHello\n\n### Response:\nHi\n\n### Instruction:\nBye\n\n### Response:\n";
    assert_eq!(plain(&messages), expected);
}

fn tool() -> Json {
    serde_json::json!({"type": "function", "function": {"name": "add", "description": "Adds <b>"}})
}

#[test]
fn tools_are_shown_as_the_client_wrote_them() {
    let source = "{% if tools %}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% endif %}\
                  {% for m in messages %}{% for call in m.tool_calls %}{{ call.function.arguments | tojson }}\
                  {% endfor %}{{ m.tool_call_id }}{% endfor %}";
    let template = ChatTemplate::new(source, "", "").unwrap();
    let mut asked = message(Role::Assistant, "");
    asked.tool_calls =
        vec![serde_json::json!({"function": {"name": "add", "arguments": {"b": 1, "a": 2}}})];
    let mut said = message(Role::Tool, "3");
    said.tool_call_id = Some("call-1".to_owned());
    let chat = Chat {
        tools: vec![tool()],
        ..Chat::new(vec![asked, said])
    };
    let expected = "{\"type\": \"function\", \"function\": {\"name\": \"add\", \"description\": \"Adds <b>\"}}\
                    {\"b\": 1, \"a\": 2}call-1";
    assert_eq!(template.render(&chat, true).unwrap(), expected);
}

#[test]
fn template_without_tools_is_told_about_them_in_words() {
    let source = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}";
    let template = ChatTemplate::new(source, "", "").unwrap();
    let mut asked = message(Role::Assistant, "Let me see.");
    asked.tool_calls =
        vec![serde_json::json!({"function": {"name": "add", "arguments": {"a": 2}}})];
    let chat = Chat {
        tools: vec![tool()],
        ..Chat::new(vec![
            message(Role::User, "Hi"),
            asked,
            message(Role::Tool, "3"),
        ])
    };
    let rendered = template.render(&chat, true).unwrap();
    assert!(
        rendered.starts_with("[system]You can call tools."),
        "{rendered}"
    );
    let end = "[user]Hi[assistant]Let me see.\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 2}}\n</tool_call>\
               [user]<tool_response>\n3\n</tool_response>";
    assert!(rendered.ends_with(end), "{rendered}");
    let plain = Chat::new(vec![message(Role::User, "Hi")]);
    assert_eq!(template.render(&plain, true).unwrap(), "[user]Hi");
}

#[test]
fn variables_are_in_scope_and_a_thought_may_be_open() {
    let source = "{{ messages[0].content }}{% if enable_thinking is defined and not enable_thinking %}\
                  <think>\n\n</think>{% else %}<think>\n{% endif %}";
    let template = ChatTemplate::new(source, "", "").unwrap();
    let thinks = |enabled: Option<bool>| {
        let variables = enabled.map(|enabled| ("enable_thinking".to_owned(), enabled.into()));
        template.opens_thought(&variables.into_iter().collect())
    };
    assert!(thinks(None) && thinks(Some(true)) && !thinks(Some(false)));
}
