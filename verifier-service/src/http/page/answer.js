// The text of a reply, each piece marked by its origin.

import { html } from "./elements.js";

export const ORIGINS = {
  accepted: "guessed by the drafter, accepted",
  correction: "put by the verifier in place of a wrong guess",
  bonus: "added by the verifier behind a right block",
  plain: "decoded without a guess",
};

// Marks would only clutter line ends and indentation.
function runs(text) {
  return text.split(/(\n[ \t\n]*)/).filter(Boolean).map((run) => (run.startsWith("\n") ? run : html("span", { class: "run" }, run)));
}

export class Answer {
  constructor(holder, legend) {
    this.holder = holder;
    this.caret = html("span", { class: "caret", "aria-hidden": "true" });
    holder.replaceChildren(this.caret);
    this.text = "";
    this.characters = { accepted: 0, correction: 0, bonus: 0, plain: 0 };
    this.counts = {};
    if (legend) this.explain(legend);
  }

  add(pieces, round) {
    const follows = this.holder.scrollHeight - this.holder.scrollTop - this.holder.clientHeight < 40;
    for (const { origin, text } of pieces) {
      const piece = html("span", { class: `piece ${origin}`, title: ORIGINS[origin] }, ...runs(text));
      if (round) piece.dataset.round = round;
      this.caret.before(piece);
      this.text += text;
      this.characters[origin] += [...text].length;
    }
    this.count();
    if (follows) this.holder.scrollTop = this.holder.scrollHeight;
  }

  end() {
    this.caret.remove();
  }

  // Outlines what one round gave.
  choose(round) {
    for (const piece of this.holder.querySelectorAll(".piece")) {
      piece.classList.toggle("chosen", piece.dataset.round === String(round));
    }
  }

  explain(legend) {
    const entries = Object.entries(ORIGINS).map(([origin, meaning]) => {
      this.counts[origin] = html("b", {}, "0 %");
      return html("li", {}, html("span", { class: `piece ${origin}` }, html("span", { class: "run" }, origin)), meaning, this.counts[origin]);
    });
    legend.replaceChildren(...entries);
  }

  count() {
    const all = Object.values(this.characters).reduce((sum, one) => sum + one, 0);
    for (const [origin, element] of Object.entries(this.counts)) {
      element.textContent = `${Math.round((100 * this.characters[origin]) / Math.max(all, 1))} %`;
    }
  }
}
