// The same request without and with the drafter, one after the other: together they would take each other's processor.

import { Answer } from "./answer.js";
import { byId, html, svg, time } from "./elements.js";
import { generate } from "./verifier.js";

const RUNS = [["off", "Without the drafter"], ["on", "With the drafter"]];

export async function compare(request, signal, say) {
  byId("comparison").hidden = false;
  byId("verdict").replaceChildren("Running both …");
  const columns = RUNS.map(([name, title]) => column(name, title));
  byId("columns").replaceChildren(...columns.map(({ element }) => element));
  const results = [];
  for (const [index, [name, title]] of RUNS.entries()) {
    say(`${title} …`);
    const speculation = name === "off" ? { mode: "off" } : request.speculation;
    results.push(await run({ ...request, speculation }, columns[index], signal));
    draw(columns, results);
  }
  byId("verdict").replaceChildren(...verdict(...results));
  return results;
}

async function run(request, { answer, rate, note }, signal) {
  const result = { text: "", finish: null };
  try {
    for await (const { name, data } of generate(request, signal)) {
      if (name === "finish") result.finish = data;
      if (name !== "chunk") continue;
      answer.add(data.pieces, data.round?.round);
      note.textContent = `round ${data.round.round}`;
    }
  } finally {
    answer.end();
  }
  result.text = answer.text;
  const { usage } = result.finish;
  result.rate = (usage.completion_tokens * 1e6) / Math.max(usage.decode_micros, 1);
  rate.replaceChildren(result.rate.toFixed(1), html("small", {}, " tokens a second"));
  note.textContent = `${usage.completion_tokens} tokens in ${time(usage.decode_micros)}, ${usage.target_forwards} passes of the target`;
  return result;
}

function column(name, title) {
  const text = html("div", { class: "text", tabindex: 0, role: "region", "aria-label": `Text: ${title}` });
  const rate = html("p", { class: "rate" }, "–", html("small", {}, " tokens a second"));
  const note = html("p", { class: "quiet" }, "waiting");
  const bar = svg("rect", { width: 0, height: 8 });
  const gauge = svg("svg", { class: "gauge", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, bar);
  const element = html("section", { class: `column ${name}`, "aria-label": title }, html("h3", {}, title), rate, gauge, note, text);
  return { element, answer: new Answer(text), rate, note, bar };
}

function draw(columns, results) {
  const most = Math.max(...results.map(({ rate }) => rate), 1e-9);
  results.forEach(({ rate }, index) => columns[index].bar.setAttribute("width", (100 * rate) / most));
}

function verdict(off, on) {
  // What was cut off says nothing of the text, nor of the speed.
  if ([off, on].some(({ finish }) => finish.reason === "cancelled")) {
    return [html("span", { class: "bad" }, "✗ Not compared"), ": the verifier had to stop before both replies ended."];
  }
  const ratio = on.rate / Math.max(off.rate, 1e-9);
  const speed = ratio >= 1 ? `${ratio.toFixed(2)}× as fast with the drafter` : `${ratio.toFixed(2)}× the speed with the drafter`;
  if (off.text === on.text) return [html("span", { class: "good" }, "✓ Identical text"), `, ${speed}.`];
  const method = on.finish.method;
  const advice = ["greedy", "coupled"].includes(method)
    ? "Please report this: the method promises the same text."
    : `${method} keeps the distribution of the text, not the text itself.`;
  return [html("span", { class: "bad" }, "✗ Different text"), `, ${speed}. ${advice}`];
}
