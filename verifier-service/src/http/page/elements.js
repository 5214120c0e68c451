// Elements by name, and numbers as people read them. Text goes in as text, never as markup.

export const byId = (id) => document.getElementById(id);

export function html(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// A list of names and values.
export function numbers(list, entries) {
  list.replaceChildren(...entries.map(([name, value]) => html("div", {}, html("dt", {}, name), html("dd", {}, value))));
}

export function time(micros) {
  if (micros < 1000) return `${Math.round(micros)} µs`;
  if (micros < 100_000) return `${(micros / 1000).toFixed(1)} ms`;
  if (micros < 1_000_000) return `${Math.round(micros / 1000)} ms`;
  return `${(micros / 1e6).toFixed(2)} s`;
}

export function chance(probability) {
  if (probability >= 0.995 && probability < 1) return ">99 %";
  if (probability > 0 && probability < 0.005) return probability < 0.0005 ? "<0.1 %" : `${(probability * 100).toFixed(1)} %`;
  return `${Math.round(probability * 100)} %`;
}

export const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

// White space and bytes that are no text made visible, in a token.
export function visible(token) {
  if (token.bytes) return token.bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
  if (token.text === "") return "⟨end⟩";
  return token.text.replaceAll(" ", "␣").replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll("\r", "␍");
}
