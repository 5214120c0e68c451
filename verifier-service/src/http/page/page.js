// The page: asks, shows what arrives, and lets rounds be looked at.

import * as alignment from "./alignment.js";
import { Answer } from "./answer.js";
import { compare } from "./compare.js";
import { byId, html, numbers, time } from "./elements.js";
import { explain, Timeline } from "./timeline.js";
import { describe, generate, Problem } from "./verifier.js";

const CODE = `Add type hints to each function, and reply with the whole module:

def mean(values):
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


def variance(values):
    center = mean(values)
    return mean([(value - center) ** 2 for value in values])`;
const EXAMPLES = [
  ["Change code", CODE],
  ["Explain", "Explain in three short paragraphs how a hash map works."],
  ["Write code", "Write a Python function that merges two sorted lists, with a docstring and an example."],
];

let running = null;
let timeline = null;
let answer = null;

function request() {
  const temperature = byId("temperature").valueAsNumber;
  const blockTokens = byId("block-tokens").value;
  const speculation = { mode: byId("speculation").checked ? "auto" : "off" };
  if (blockTokens && speculation.mode === "auto") speculation.block_tokens = Number(blockTokens);
  const body = {
    prompt: { conversation: { messages: [{ role: "user", content: byId("prompt").value }] } },
    sampling: { temperature: Number.isNaN(temperature) ? 0 : temperature },
    speculation,
  };
  if (byId("max-tokens").value) body.max_tokens = Number(byId("max-tokens").value);
  if (byId("seed").value) body.seed = Number(byId("seed").value);
  return body;
}

async function work(job) {
  if (running || !byId("form").reportValidity()) return;
  running = new AbortController();
  byId("problem").hidden = true;
  busy(true);
  try {
    await job(running.signal);
  } catch (error) {
    if (error.name === "AbortError") say("Stopped.");
    else complain(error);
  } finally {
    running = null;
    answer?.end();
    busy(false);
    refresh();
  }
}

function busy(is) {
  for (const id of ["generate", "compare"]) byId(id).disabled = is;
  byId("stop").disabled = !is;
  byId("form").setAttribute("aria-busy", is);
}

async function one(signal) {
  for (const id of ["reply", "rounds"]) byId(id).hidden = false;
  for (const id of ["alignment", "comparison"]) byId(id).hidden = true;
  answer = new Answer(byId("text"), byId("legend"));
  const shown = answer;
  timeline = new Timeline(byId("timeline"), (round) => {
    alignment.show(round);
    shown.choose(round.round);
    const { rounds } = timeline;
    byId("earlier").disabled = round.round === 1;
    byId("later").disabled = round.round === rounds.length;
  });
  numbers(byId("numbers"), []);
  say("Generating …");
  const began = performance.now();
  let finish = null;
  for await (const { name, data } of generate(request(), signal)) {
    if (name === "finish") finish = data;
    if (name !== "chunk") continue;
    answer.add(data.pieces, data.round.round);
    timeline.add(data.round);
    progress(timeline.rounds, (performance.now() - began) * 1000);
  }
  summarise(finish);
  const [first] = [...timeline.rounds].sort((a, b) => interest(b) - interest(a));
  if (first) timeline.select(first.round);
}

// What there is to see in a round: tokens that part differently, and some of them accepted, some not.
function interest({ proposed_tokens, accepted_tokens, detail }) {
  const parts = detail.groups.filter(({ draft, candidates }) => draft[1] - draft[0] > 1 || candidates[1] - candidates[0] > 1).length;
  return Math.min(proposed_tokens, 1) + (0 < accepted_tokens && accepted_tokens < proposed_tokens ? 2 : 0) + Math.min(parts, 3);
}

function progress(rounds, micros) {
  const tokens = rounds.reduce((sum, round) => sum + round.accepted_tokens + (round.detail.chosen ? 1 : 0), 0);
  numbers(byId("numbers"), [["tokens", `${tokens}`], ["passes", `${rounds.length}`], ["so far", time(micros)]]);
}

function summarise({ reason, method, method_reason, usage }) {
  const tokens = usage.completion_tokens;
  numbers(byId("numbers"), [
    ["tokens", `${tokens}`],
    ["tokens a second", ((tokens * 1e6) / Math.max(usage.decode_micros, 1)).toFixed(1)],
    ["tokens a pass", (tokens / Math.max(usage.target_forwards, 1)).toFixed(2)],
    ["of guesses accepted", usage.proposed_tokens ? `${Math.round((100 * usage.accepted_tokens) / usage.proposed_tokens)} %` : "–"],
    ["waiting", time(usage.draft_wait_micros)],
  ]);
  const ends = {
    stop: "The model ended the reply", length: "The limit of tokens ended the reply",
    context_full: "The context is full", cancelled: "The verifier had to stop",
  };
  const how = method ? `Method ${method}: ${method_reason}.` : "Drafters did not help.";
  say(`${ends[reason]} after ${tokens} tokens in ${time(usage.prefill_micros + usage.decode_micros)}. ${how}`);
}

async function both(signal) {
  for (const id of ["reply", "rounds", "alignment"]) byId(id).hidden = true;
  const asked = request();
  if (asked.speculation.mode === "off") asked.speculation = { mode: "auto" };
  // Both must draw the same noise.
  asked.seed ??= 0;
  await compare(asked, signal, say);
  say("Both are done.");
}

function say(text) {
  byId("status").textContent = text;
}

function complain(error) {
  say("");
  const advice = error instanceof Problem ? error.advice : "Reload the page; if it happens again, please report it.";
  byId("problem").replaceChildren(html("strong", {}, error.message), advice);
  byId("problem").hidden = false;
  if (!(error instanceof Problem)) console.error(error);
}

async function refresh() {
  try {
    const { model, drafters, max_tokens, max_block_tokens } = await describe();
    byId("target").textContent = model;
    const states = drafters.map((drafter) => {
      const words = {
        ready: "ready", connecting: "connecting", breaker_open: "left alone after failures",
        unreachable: "cannot be reached", incompatible: "does not fit",
      };
      const kind = { ready: "ready", connecting: "" }[drafter.state] ?? "bad";
      return html("span", { class: `state ${kind}` }, `${drafter.model ?? "not known"} (${words[drafter.state] ?? drafter.state})`);
    });
    byId("drafter").replaceChildren(...(states.length ? states : ["none is configured: replies are plain"]));
    byId("max-tokens").max = max_tokens;
    byId("block-tokens").max = max_block_tokens;
  } catch (error) {
    byId("target").textContent = "cannot be reached";
    byId("drafter").textContent = "–";
    if (byId("problem").hidden) complain(error);
  }
}

function summariseSettings() {
  const helps = byId("speculation").checked;
  const block = byId("block-tokens").value;
  byId("settings-summary").textContent = `${byId("max-tokens").value || "no limit of"} tokens, temperature ${byId("temperature").value || 0}, ` +
    (helps ? (block ? `blocks of ${block}` : "blocks as long as pays") : "plain");
}

function step(by) {
  if (timeline?.selected) timeline.select(timeline.selected + by);
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  work(one);
});
byId("form").addEventListener("input", summariseSettings);
byId("compare").addEventListener("click", () => work(both));
byId("stop").addEventListener("click", () => running?.abort());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) work(one);
});
byId("zoom-in").addEventListener("click", () => timeline?.zoom(1.6));
byId("zoom-out").addEventListener("click", () => timeline?.zoom(1 / 1.6));
byId("zoom-fit").addEventListener("click", () => timeline?.fit());
byId("earlier").addEventListener("click", () => step(-1));
byId("later").addEventListener("click", () => step(1));
byId("text").addEventListener("click", (event) => {
  const round = event.target.closest(".piece")?.dataset.round;
  if (round && !running) timeline?.select(Number(round));
});
byId("examples").append(...EXAMPLES.map(([name, text]) => {
  const button = html("button", { type: "button" }, name);
  button.addEventListener("click", () => {
    byId("prompt").value = text;
    byId("prompt").focus();
  });
  return button;
}));
byId("prompt").value = EXAMPLES[0][1];
explain("timeline-legend");
summariseSettings();
refresh();
