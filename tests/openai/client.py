"""OpenAI's client for Python, unchanged, against a running verifier: client.py BASE_URL ADMIN_URL MODEL

Every case of the matrix is asked for with speculation and without, and both must say the same: text, end, log
probabilities, usage.
"""

import asyncio
import itertools
import json
import re
import sys
import time
import unittest
import urllib.request

import openai

BASE_URL, ADMIN_URL, MODEL = sys.argv[1:4]
CLIENT = openai.OpenAI(base_url=BASE_URL, api_key="none", timeout=300)
# Nothing is tried again, so that refusals are seen.
ONCE = CLIENT.with_options(max_retries=0)

# Requests in progress and waiting that the verifier has room for.
PLACES = 16

ON = {"speculation": {"mode": "required", "block_length": 4}}
OFF = {"speculation": {"mode": "off"}}
QUESTION = [{"role": "user", "content": "Count from one to ten in words, separated by commas."}]
BEGINNING = "One, two, three, four, five, one, two, three, four,"

# Parameters of the matrix, each asked of both endpoints.
CASES = [
    dict(),
    dict(temperature=0.8),
    dict(temperature=1.2, seed=2),
    dict(temperature=0.8, top_p=0.5),
    dict(temperature=0.7, seed=0, extra_body={"top_k": 10}),
    dict(temperature=0.9, extra_body={"min_p": 0.1}),
    dict(extra_body={"repetition_penalty": 1.2}),
    dict(frequency_penalty=0.6),
    dict(presence_penalty=0.8),
    dict(temperature=0.9, frequency_penalty=0.3, presence_penalty=-0.4, extra_body={"repetition_penalty": 1.1}),
    dict(max_tokens=1),
    dict(max_tokens=2, temperature=0.8),
    dict(max_tokens=7),
    dict(stop=","),
    dict(stop=["five", "\n\n"]),
    dict(stop=["ee, f", "never", "\u00e9", "Ten"]),
    dict(stop="never comes"),
    dict(temperature=0.8, stop=" "),
    dict(logprobs=0),
    dict(logprobs=5),
    dict(logprobs=2, temperature=0.8, seed=5),
    dict(logprobs=1, frequency_penalty=0.5),
    dict(logprobs=1, stop=["four"]),
    dict(n=2, temperature=0.9),
    dict(n=3, temperature=0.9, max_tokens=5, logprobs=1),
    dict(logit_bias={"236764": -100}),
    dict(logit_bias={"236764": 3, "236770": -5}, temperature=0.8),
    dict(temperature=0.8, seed=-2),
    dict(temperature=0.8, seed=2**63 - 1, user="someone"),
    dict(temperature=1.0, seed=9, extra_body={"top_k": 40, "min_p": 0.02}),
    dict(temperature=2.0, top_p=0.3),
    dict(max_tokens=24),
]


def asked(endpoint, case, speculation):
    """The arguments of a call."""
    case = {"temperature": 0, "seed": 1, "max_tokens": 10} | case
    case["extra_body"] = case.pop("extra_body", {}) | speculation
    if endpoint is CLIENT.chat.completions:
        alternatives = case.pop("logprobs", None)
        if alternatives is not None:
            case |= {"logprobs": True, "top_logprobs": alternatives}
        return {"model": MODEL, "messages": QUESTION} | case
    return {"model": MODEL, "prompt": BEGINNING} | case


def tokens(choice):
    """Everything listed of a choice's tokens, in either shape."""
    listed = choice.logprobs
    if listed is None:
        return []
    if getattr(listed, "content", None) is not None:
        every = ([token, *token.top_logprobs] for token in listed.content)
        return [(token.token, token.bytes, token.logprob) for token in itertools.chain(*every)]
    own = zip(listed.tokens, listed.text_offset, listed.token_logprobs)
    others = (top.items() for top in listed.top_logprobs)
    return [*own, *((token, None, logprob) for token, logprob in itertools.chain(*others))]


def text(choice):
    return choice.message.content if hasattr(choice, "message") else choice.text


class Matrix(unittest.TestCase):
    """What speculation must not change."""

    accepted = rejected = cases = 0

    def compare(self, drafted, plain):
        self.assertEqual([text(c) for c in drafted.choices], [text(c) for c in plain.choices])
        self.assertEqual([c.finish_reason for c in drafted.choices], [c.finish_reason for c in plain.choices])
        for one, other in zip(drafted.choices, plain.choices):
            one, other = tokens(one), tokens(other)
            self.assertEqual([t[:2] for t in one], [t[:2] for t in other])
            for (*_, logprob), (*_, expected) in zip(one, other):
                self.assertAlmostEqual(logprob, expected, delta=1e-4)
        for count in ("prompt_tokens", "completion_tokens", "total_tokens"):
            self.assertEqual(getattr(drafted.usage, count), getattr(plain.usage, count))
        details = plain.usage.completion_tokens_details
        self.assertEqual((details.accepted_prediction_tokens, details.rejected_prediction_tokens), (0, 0))

    def all_cases(self, endpoint):
        accepted = rejected = 0
        for case in CASES:
            with self.subTest(case=case):
                drafted = endpoint.create(**asked(endpoint, case, ON))
                plain = endpoint.create(**asked(endpoint, case, OFF))
                self.compare(drafted, plain)
                details = drafted.usage.completion_tokens_details
                accepted += details.accepted_prediction_tokens
                rejected += details.rejected_prediction_tokens
        print(f"{len(CASES)} cases with and without speculation: {accepted} tokens accepted, {rejected} rejected")
        self.assertGreater(accepted, 0)

    def test_chats_are_the_same_with_and_without_speculation(self):
        self.all_cases(CLIENT.chat.completions)

    def test_completions_are_the_same_with_and_without_speculation(self):
        self.all_cases(CLIENT.completions)

    def test_streams_are_the_same_as_whole_answers(self):
        for case in CASES[::3]:
            for speculation in (ON, OFF):
                with self.subTest(case=case, speculation=speculation):
                    arguments = asked(CLIENT.chat.completions, case, speculation)
                    whole = CLIENT.chat.completions.create(**arguments)
                    options = {"include_usage": True}
                    stream = CLIENT.chat.completions.create(**arguments, stream=True, stream_options=options)
                    chunks = list(stream)
                    said = [""] * len(whole.choices)
                    listed, ends = [[] for _ in said], [None] * len(said)
                    for chunk in chunks[:-1]:
                        self.assertIsNone(chunk.usage)
                        for choice in chunk.choices:
                            self.assertIsNone(ends[choice.index])
                            said[choice.index] += choice.delta.content or ""
                            listed[choice.index] += tokens(choice)
                            ends[choice.index] = choice.finish_reason
                    self.assertEqual(said, [text(choice) for choice in whole.choices])
                    self.assertEqual(listed, [tokens(choice) for choice in whole.choices])
                    self.assertEqual(ends, [choice.finish_reason for choice in whole.choices])
                    self.assertEqual(chunks[-1].choices, [])
                    self.assertEqual(chunks[-1].usage.completion_tokens, whole.usage.completion_tokens)


class Responses(unittest.TestCase):
    """The newer API, which says what chats say."""

    asked = dict(model=MODEL, input=QUESTION[0]["content"], temperature=0, max_output_tokens=12)
    tool = {
        "type": "function",
        "name": "look",
        "description": "Looks outside.",
        "parameters": {"type": "object", "properties": {"where": {"enum": ["here", "there"]}}, "required": ["where"]},
        "strict": True,
    }

    def test_response_is_the_chat_in_another_shape(self):
        chat = CLIENT.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, max_completion_tokens=12)
        for speculation in (ON, OFF):
            response = CLIENT.responses.create(**self.asked, extra_body=speculation)
            self.assertEqual(response.output_text, chat.choices[0].message.content)
            self.assertEqual((response.status, response.incomplete_details.reason), ("incomplete", "max_output_tokens"))
            self.assertEqual(response.usage.output_tokens, chat.usage.completion_tokens)
            self.assertEqual(response.usage.input_tokens, chat.usage.prompt_tokens)
            self.assertEqual(response.id, f"resp_{response._request_id}")
            # The client itself is lenient; the shape is checked here.
            type(response).model_validate(response.model_dump())

    def test_stream_says_what_the_whole_response_says(self):
        whole = CLIENT.responses.create(**self.asked)
        text, numbers = "", []
        for event in CLIENT.responses.create(**self.asked, stream=True):
            type(event).model_validate(event.model_dump())
            numbers.append(event.sequence_number)
            text += event.delta if event.type == "response.output_text.delta" else ""
        self.assertEqual(text, whole.output_text)
        self.assertEqual(numbers, list(range(len(numbers))))
        self.assertEqual(event.type, "response.incomplete")
        self.assertEqual(event.response.output_text, whole.output_text)
        # The client's own helper takes nothing but a complete response.
        stop = whole.output_text[4:6]
        with CLIENT.responses.stream(**self.asked, extra_body={"stop": stop}) as stream:
            self.assertEqual(stream.get_final_response().output_text, whole.output_text.split(stop)[0])

    def test_tool_is_called_and_its_result_is_taken_back(self):
        asked = self.asked | {"max_output_tokens": 60, "tools": [self.tool]}
        response = CLIENT.responses.create(**asked, tool_choice="required", parallel_tool_calls=False)
        (call,) = response.output
        self.assertEqual((response.status, call.type, call.name), ("completed", "function_call", "look"))
        self.assertIn(json.loads(call.arguments)["where"], ("here", "there"))
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "Rain."}
        turns = [QUESTION[0], *response.output, result]
        CLIENT.responses.create(**asked | {"input": turns, "max_output_tokens": 4, "instructions": "Be brief."})

    def test_text_follows_a_schema(self):
        schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
        form = {"format": {"type": "json_schema", "name": "number", "schema": schema, "strict": True}}
        response = CLIENT.responses.create(**self.asked | {"max_output_tokens": 60}, text=form)
        self.assertIn(json.loads(response.output_text)["n"], (1, 2))

    def test_errors_name_the_parameter(self):
        for param, arguments in {
            "max_output_tokens": dict(max_output_tokens=0),
            "previous_response_id": dict(previous_response_id="resp_1"),
            "input[0].content[0].type": dict(input=[{"role": "user", "content": [{"type": "input_image"}]}]),
            "tools[0].name": dict(tools=[{"type": "function"}]),
        }.items():
            with self.subTest(param=param), self.assertRaises(openai.BadRequestError) as raised:
                ONCE.responses.create(**self.asked | arguments)
            self.assertEqual(raised.exception.param, param)


class Api(unittest.TestCase):
    """What the client knows of the API apart from the text."""

    def test_model_is_listed_and_found(self):
        (model,) = CLIENT.models.list()
        self.assertEqual((model.id, model.object), (MODEL, "model"))
        self.assertEqual(CLIENT.models.retrieve(MODEL), model)
        with self.assertRaises(openai.NotFoundError):
            CLIENT.models.retrieve("another")

    def test_answer_tells_who_made_it(self):
        answer = CLIENT.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=2)
        self.assertEqual((answer.object, answer.model), ("chat.completion", MODEL))
        self.assertRegex(answer.system_fingerprint, rf"^{re.escape(MODEL)}_[0-9a-f]{{12}}_\d+\.\d+\.\d+$")
        self.assertEqual(answer.choices[0].message.role, "assistant")
        self.assertEqual(answer.id, f"chatcmpl-{answer._request_id}")
        self.assertAlmostEqual(answer.created, time.time(), delta=600)

    def test_logprobs_are_those_of_a_greedy_choice(self):
        answer = CLIENT.chat.completions.create(
            model=MODEL, messages=QUESTION, max_tokens=8, temperature=0, logprobs=True, top_logprobs=20
        )
        (choice,) = answer.choices
        self.assertEqual(b"".join(bytes(t.bytes) for t in choice.logprobs.content).decode(), choice.message.content)
        self.assertEqual(len(choice.logprobs.content), answer.usage.completion_tokens)
        for token in choice.logprobs.content:
            self.assertEqual(token.logprob, token.top_logprobs[0].logprob)
            self.assertEqual(len(token.top_logprobs), 20)

    def test_seed_repeats_an_answer_and_its_absence_does_not(self):
        def answer(**seed):
            return CLIENT.completions.create(model=MODEL, prompt="Once", max_tokens=12, temperature=1.5, **seed)

        self.assertEqual(answer(seed=4).choices[0].text, answer(seed=4).choices[0].text)
        self.assertGreater(len({answer().choices[0].text for _ in range(4)}), 1)

    def test_messages_of_every_kind_are_read(self):
        messages = [
            {"role": "developer", "content": "Answer in one word."},
            {"role": "user", "content": [{"type": "text", "text": "What colour "}, {"type": "text", "text": "is grass?"}]},
            {"role": "assistant", "content": "Green."},
            {"role": "user", "content": "And the sky?"},
        ]
        answer = CLIENT.chat.completions.create(model=MODEL, messages=messages, max_completion_tokens=6)
        follow_up = [*messages, answer.choices[0].message, {"role": "user", "content": "And snow?"}]
        CLIENT.chat.completions.create(model=MODEL, messages=follow_up, max_completion_tokens=3)

    def test_hints_and_unknown_parameters_pass(self):
        hints = dict(metadata={"run": "7"}, store=True, service_tier="flex", reasoning_effort="low", parallel_tool_calls=True)
        raw = CLIENT.chat.completions.with_raw_response.create(
            model=f"anyone/{MODEL}", messages=QUESTION, max_tokens=4, extra_body={"colour": "blue"}, **hints
        )
        self.assertEqual(raw.headers["x-duet-ignored"], "colour")
        self.assertEqual(raw.parse().usage.completion_tokens, 4)

    def test_errors_name_the_parameter(self):
        for param, arguments in {
            "temperature": dict(temperature=3),
            "max_completion_tokens": dict(max_completion_tokens=0),
            "stop": dict(stop=list("abcdefghijklmnopq")),
            "top_logprobs": dict(logprobs=True, top_logprobs=21),
            "n": dict(n=100),
            "tools[0].function": dict(tools=[{"type": "function"}]),
            "response_format.json_schema": dict(response_format={"type": "json_schema"}),
            "functions": dict(functions=[{"name": "f"}]),
            "speculation.mode": dict(extra_body={"speculation": {"mode": "on"}}),
        }.items():
            with self.subTest(param=param), self.assertRaises(openai.BadRequestError) as raised:
                ONCE.chat.completions.create(model=MODEL, messages=QUESTION, **arguments)
            self.assertEqual(raised.exception.param, param)
            self.assertEqual(raised.exception.type, "invalid_request_error")
        with self.assertRaises(openai.NotFoundError) as raised:
            ONCE.chat.completions.create(model="gpt-4o", messages=QUESTION)
        self.assertEqual((raised.exception.code, raised.exception.param), ("model_not_found", "model"))
        with self.assertRaises(openai.NotFoundError):
            ONCE.embeddings.create(model=MODEL, input="x")


def gauge(name):
    """A number from the metrics; 0 where it has not been counted."""
    with urllib.request.urlopen(f"{ADMIN_URL}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"duet_verifier_{name}"))


class Sessions(unittest.TestCase):
    """Who gets in, and who goes."""

    long = dict(model=MODEL, messages=QUESTION, max_tokens=4000, logit_bias={"106": -100, "1": -100}, temperature=0)

    def free(self):
        deadline = time.monotonic() + 60
        while gauge("engine_sessions"):
            self.assertLess(time.monotonic(), deadline, "sessions are still held")

    def test_stream_that_is_closed_frees_its_session(self):
        abandoned = gauge('requests_total{outcome="abandoned"}')
        with ONCE.chat.completions.create(**self.long, stream=True) as stream:
            for chunk, _ in zip(stream, range(4)):
                self.assertTrue(chunk.choices)
            self.assertEqual(gauge("engine_sessions"), 1)
        self.free()
        self.assertEqual(gauge('requests_total{outcome="abandoned"}'), abandoned + 1)

    def test_full_server_refuses_and_says_when_to_come_back(self):
        streams = []
        with self.assertRaises(openai.RateLimitError) as raised:
            for _ in range(PLACES + 1):
                streams.append(ONCE.chat.completions.create(**self.long, stream=True))
        self.assertGreaterEqual(int(raised.exception.response.headers["retry-after"]), 1)
        self.assertEqual(raised.exception.code, "rate_limit_exceeded")
        for stream in streams:
            stream.close()
        self.free()

    def test_clients_at_once_get_what_each_gets_alone(self):
        async def together():
            client = openai.AsyncOpenAI(base_url=BASE_URL, api_key="none", timeout=300)
            calls = (client.completions.create(**arguments(seed)) for seed in range(PLACES))
            return await asyncio.gather(*calls)

        def arguments(seed):
            body = {"speculation": {"block_length": 3}}
            return dict(model=MODEL, prompt=BEGINNING, max_tokens=8, temperature=0.8, seed=seed, extra_body=body)

        alone = [CLIENT.completions.create(**arguments(seed)).choices[0].text for seed in range(PLACES)]
        self.assertEqual([answer.choices[0].text for answer in asyncio.run(together())], alone)
        self.free()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
