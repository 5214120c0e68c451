// OpenAI's client for Node, unchanged, against a running verifier: client.mjs BASE_URL ADMIN_URL MODEL NODE_MODULES
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import test from "node:test";

const [baseURL, adminURL, model, modules] = process.argv.slice(2);
const OpenAI = createRequire(`${modules}/`)("openai");
const client = new OpenAI({ baseURL, apiKey: "none", timeout: 300_000, maxRetries: 0 });

const messages = [{ role: "user", content: "Count from one to ten in words, separated by commas." }];
const prompt = "One, two, three, four, five, one, two, three, four,";
const on = { speculation: { mode: "required", block_length: 4 } };
const off = { speculation: { mode: "off" } };
const cases = [
  {},
  { temperature: 0.8 },
  { temperature: 0.8, top_p: 0.5, seed: 2 },
  { stop: "," },
  { stop: ["five", "never"] },
  { logprobs: true, top_logprobs: 3 },
  { n: 2, temperature: 0.9 },
  { frequency_penalty: 0.5, presence_penalty: 0.5 },
  { max_completion_tokens: 1, max_tokens: undefined },
];

const asked = (parameters, speculation) => ({
  model, messages, temperature: 0, seed: 1, max_tokens: 12, ...parameters, ...speculation,
});
const { completions } = client.chat;

test("chats are the same with and without speculation", async () => {
  for (const parameters of cases) {
    const drafted = await completions.create(asked(parameters, on));
    const plain = await completions.create(asked(parameters, off));
    const said = ({ choices }) => choices.map(({ message, finish_reason }) => [message.content, finish_reason]);
    const listed = ({ choices }) => choices.flatMap((choice) => choice.logprobs?.content ?? []);
    assert.deepEqual(said(drafted), said(plain));
    assert.equal(drafted.usage.total_tokens, plain.usage.total_tokens);
    assert.equal(listed(drafted).length, listed(plain).length);
    listed(drafted).forEach((token, at) => {
      assert.deepEqual(token.bytes, listed(plain)[at].bytes);
      assert.ok(Math.abs(token.logprob - listed(plain)[at].logprob) <= 1e-4);
    });
  }
});

test("a stream says what the whole answer says, and counts it", async () => {
  for (const speculation of [on, off]) {
    const whole = await completions.create(asked({}, speculation));
    const options = { stream: true, stream_options: { include_usage: true } };
    let [text, usage] = ["", null];
    for await (const chunk of await completions.create({ ...asked({}, speculation), ...options })) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage;
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
  }
});

test("the client's own helper puts a stream together", async () => {
  const whole = await completions.create(asked({}, on));
  const stream = completions.stream(asked({}, on));
  const final = await stream.finalChatCompletion();
  assert.equal(final.choices[0].message.content, whole.choices[0].message.content);
});

test("responses say what chats say, whole and streamed", async () => {
  const chat = await completions.create(asked({}, on));
  const question = { model, input: messages, temperature: 0, seed: 1, max_output_tokens: 12 };
  for (const speculation of [on, off]) {
    const whole = await client.responses.create({ ...question, ...speculation });
    assert.equal(whole.output_text, chat.choices[0].message.content);
    assert.equal(whole.usage.output_tokens, chat.usage.completion_tokens);
    let [text, last] = ["", null];
    for await (const event of await client.responses.create({ ...question, ...speculation, stream: true })) {
      if (event.type === "response.output_text.delta") text += event.delta;
      last = event;
    }
    assert.equal(text, whole.output_text);
    assert.equal(last.response.status, whole.status);
  }
  const final = await client.responses.stream(question).finalResponse();
  assert.equal(final.output_text, chat.choices[0].message.content);
  const refused = client.responses.create({ ...question, max_output_tokens: 0 });
  await assert.rejects(refused, { status: 400, param: "max_output_tokens" });
});

test("completions and models are served", async () => {
  const answer = await client.completions.create({ model, prompt, max_tokens: 6, temperature: 0, logprobs: 2 });
  assert.equal(answer.object, "text_completion");
  assert.equal(answer.choices[0].logprobs.tokens.length, answer.usage.completion_tokens);
  const names = [];
  for await (const { id } of client.models.list()) names.push(id);
  assert.deepEqual(names, [model]);
});

test("errors name the parameter", async () => {
  const refused = (parameters) => completions.create(asked(parameters, {}));
  await assert.rejects(refused({ temperature: 3 }), { status: 400, param: "temperature" });
  await assert.rejects(refused({ tools: [{ type: "function" }] }), { param: "tools[0].function" });
  await assert.rejects(refused({ response_format: { type: "yaml" } }), { param: "response_format.type" });
  await assert.rejects(refused({ functions: [{ name: "f" }] }), { param: "functions", code: "unsupported_parameter" });
  await assert.rejects(refused({ model: "gpt-4o" }), { status: 404, code: "model_not_found" });
});

const gauge = async (name) => {
  const text = await (await fetch(`${adminURL}/metrics`)).text();
  const line = text.split("\n").find((line) => line.startsWith(`duet_verifier_${name}`));
  return Number(line?.split(" ").at(-1) ?? 0);
};

test("a stream that is aborted frees its session", async () => {
  const long = { max_tokens: 4000, logit_bias: { 106: -100, 1: -100 }, stream: true };
  const stream = await completions.create(asked(long, {}));
  let chunks = 0;
  for await (const chunk of stream) {
    assert.ok(chunk.choices.length > 0);
    chunks += 1;
    if (chunks === 4) stream.controller.abort();
  }
  const deadline = Date.now() + 60_000;
  while ((await gauge("engine_sessions")) > 0) assert.ok(Date.now() < deadline, "the session is still held");
});
