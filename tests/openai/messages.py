"""Anthropic's client for Python, unchanged, against a running verifier: messages.py BASE_URL ADMIN_URL MODEL"""

import sys
import unittest

import anthropic

BASE_URL, _, MODEL = sys.argv[1:4]
# This client adds the version itself.
CLIENT = anthropic.Anthropic(base_url=BASE_URL.removesuffix("/v1"), api_key="none", timeout=300, max_retries=0)

QUESTION = [{"role": "user", "content": "Count from one to ten in words, separated by commas."}]
# This client has no parameters for sampling; the API has.
GREEDY = {"temperature": 0, "seed": 1}
ASKED = dict(model=MODEL, messages=QUESTION, max_tokens=12, extra_body=GREEDY)
ON = {"speculation": {"mode": "required", "block_length": 4}}
OFF = {"speculation": {"mode": "off"}}
TOOL = {
    "name": "look",
    "description": "Looks outside.",
    "input_schema": {"type": "object", "properties": {"where": {"enum": ["here", "there"]}}, "required": ["where"]},
}


def checked(answer):
    """The answer, whose shape is checked: the client itself is lenient."""
    type(answer).model_validate(answer.model_dump())
    return answer


class Messages(unittest.TestCase):
    def test_message_is_the_same_with_and_without_speculation(self):
        for case in ({}, {"temperature": 0.8, "top_k": 9}, {"system": "Be brief."}):
            said = []
            for speculation in (ON, OFF):
                message = checked(CLIENT.messages.create(**ASKED | {"extra_body": GREEDY | case | speculation}))
                said.append((message.content, message.stop_reason, message.stop_sequence, message.usage.output_tokens))
            self.assertEqual(said[0], said[1])
            self.assertEqual(said[0][1], "max_tokens")

    def test_stop_sequence_ends_the_message_and_is_named(self):
        whole = CLIENT.messages.create(**ASKED).content[0].text
        stop = whole[4:6]
        message = CLIENT.messages.create(**ASKED, stop_sequences=["never", stop])
        self.assertEqual((message.stop_reason, message.stop_sequence), ("stop_sequence", stop))
        self.assertEqual(message.content[0].text, whole.split(stop)[0])

    def test_stream_says_what_the_whole_message_says(self):
        whole = CLIENT.messages.create(**ASKED)
        kinds, text = [], ""
        for event in CLIENT.messages.create(**ASKED, stream=True):
            kinds.append(checked(event).type)
            text += event.delta.text if event.type == "content_block_delta" else ""
        self.assertEqual(text, whole.content[0].text)
        self.assertEqual((kinds[0], kinds[-1]), ("message_start", "message_stop"))
        with CLIENT.messages.stream(**ASKED) as stream:
            self.assertEqual("".join(stream.text_stream), text)
            final = stream.get_final_message()
        self.assertEqual((final.stop_reason, final.usage.output_tokens), ("max_tokens", whole.usage.output_tokens))

    def test_prompt_is_counted_as_it_is_read(self):
        usage = CLIENT.messages.create(**ASKED).usage
        count = CLIENT.messages.count_tokens(model=MODEL, messages=QUESTION)
        self.assertEqual(count.input_tokens, usage.input_tokens + usage.cache_read_input_tokens)

    def test_tool_is_called_and_its_result_is_taken_back(self):
        asked = ASKED | {"max_tokens": 60, "tools": [TOOL]}
        choice = {"type": "any", "disable_parallel_tool_use": True}
        message = checked(CLIENT.messages.create(**asked, tool_choice=choice))
        (call,) = message.content
        self.assertEqual((message.stop_reason, call.type, call.name), ("tool_use", "tool_use", "look"))
        self.assertIn(call.input["where"], ("here", "there"))
        with CLIENT.messages.stream(**asked, tool_choice=choice) as stream:
            self.assertEqual(stream.get_final_message().content[0].input, call.input)
        result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "Rain."}]}
        turns = [*QUESTION, {"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
        CLIENT.messages.create(**asked | {"messages": turns, "max_tokens": 4})

    def test_beginning_of_an_answer_is_continued(self):
        turns = [*QUESTION, {"role": "assistant", "content": "One, two, three,"}]
        message = CLIENT.messages.create(**ASKED | {"messages": turns})
        self.assertIn("four", message.content[0].text)

    def test_errors_have_their_classes(self):
        with self.assertRaisesRegex(anthropic.BadRequestError, "temperature is 3"):
            CLIENT.messages.create(**ASKED | {"extra_body": {"temperature": 3}})
        with self.assertRaisesRegex(anthropic.BadRequestError, r"messages\[0\].content\[0\].type"):
            CLIENT.messages.create(**ASKED | {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]})
        with self.assertRaises(anthropic.NotFoundError):
            CLIENT.messages.create(**ASKED | {"model": "claude-x"})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
