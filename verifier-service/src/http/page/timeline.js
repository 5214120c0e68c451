// Rounds on a time line: what the drafter does above, what the verifier does below, both by the verifier's clock.

import { byId, html, plural, svg, time } from "./elements.js";

const HEIGHT = 128;
const DRAFT = 12;
const VERIFY = 66;
const LANE = 28;
const AXIS = 108;
const MARGIN = 12;
// Pixels that a middling round is wide at first.
const ROUND = 44;
const MOST = 200_000;

export class Timeline {
  constructor(holder, onSelect) {
    this.holder = holder;
    this.onSelect = onSelect;
    this.rounds = [];
    this.selected = null;
    this.scale = null;
    this.list = svg("g", { role: "listbox", "aria-label": "Rounds", "aria-orientation": "horizontal" });
    this.under = svg("g", { "aria-hidden": "true" });
    this.picture = svg("svg", { height: HEIGHT, width: 0 }, this.under, this.list);
    this.list.addEventListener("keydown", (event) => this.onKey(event));
    holder.replaceChildren(this.picture);
  }

  add(round) {
    this.rounds.push(round);
    this.scale ??= ROUND / Math.max(lengthOf(round), 1);
    if (this.rounds.length === 8) this.scale = ROUND / middle(this.rounds.map(lengthOf));
    if (this.rounds.length === 8) this.draw();
    else this.append(round);
    this.holder.scrollLeft = this.holder.scrollWidth;
  }

  zoom(factor) {
    const width = this.holder.clientWidth;
    const centre = (this.holder.scrollLeft + width / 2) / Math.max(this.picture.clientWidth, 1);
    this.scale *= factor;
    this.draw();
    this.holder.scrollLeft = centre * this.picture.clientWidth - width / 2;
  }

  fit() {
    this.scale = (this.holder.clientWidth - 2 * MARGIN) / Math.max(this.end(), 1);
    this.draw();
  }

  select(number, focus = false) {
    const round = this.rounds[number - 1];
    if (!round) return;
    this.selected = number;
    for (const option of this.list.children) {
      const is = Number(option.dataset.round) === number;
      option.setAttribute("aria-selected", is);
      option.setAttribute("tabindex", is ? 0 : -1);
      if (is && focus) option.focus({ preventScroll: true });
      if (is) this.show(round);
    }
    this.onSelect(round);
  }

  show(round) {
    const { began_micros, ended_micros } = round.detail.clock;
    const [left, right] = [this.x(began_micros), this.x(ended_micros)];
    const { scrollLeft, clientWidth } = this.holder;
    if (left < scrollLeft || right > scrollLeft + clientWidth) this.holder.scrollLeft = left - clientWidth / 3;
  }

  onKey(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const next = (this.selected ?? 1) + steps[event.key];
    this.select(Math.min(Math.max(next, 1), this.rounds.length), true);
  }

  end() {
    return this.rounds.at(-1)?.detail.clock.ended_micros ?? 0;
  }

  x(micros) {
    return MARGIN + micros * this.scale;
  }

  draw() {
    const most = MOST / Math.max(this.end(), 1);
    this.scale = Math.min(this.scale, most);
    this.list.replaceChildren();
    this.under.replaceChildren();
    this.ticked = 0;
    this.rounds.forEach((round) => this.append(round));
  }

  append(round) {
    if (round === this.rounds[0]) this.drawPrompt(round.detail.clock.began_micros);
    const option = svg("g", {
      class: "round", role: "option", "data-round": round.round, "aria-selected": round.round === this.selected,
      tabindex: round.round === (this.selected ?? 1) ? 0 : -1, "aria-label": sentence(round),
    });
    const { began_micros, ended_micros } = round.detail.clock;
    const [left, right] = [this.x(began_micros), this.x(ended_micros)];
    option.append(svg("title", {}, sentence(round)));
    option.append(svg("rect", { class: "hit", x: left, y: 3, width: Math.max(right - left - 1, 3), height: AXIS - 8, rx: 5 }));
    option.append(...this.drafting(round), ...this.verifying(round));
    option.addEventListener("click", () => this.select(round.round, true));
    this.list.append(option);
    const width = right + MARGIN + 30;
    this.picture.setAttribute("width", width);
    this.tick(width);
  }

  drafting(round) {
    const { clock, dropped } = round.detail;
    const parts = dropped.map((block) => this.drop(block));
    if (clock.block_arrived_micros === null) return parts.flat();
    const end = clock.block_arrived_micros;
    const start = Math.max(end - round.timings.draft_compute_micros, 0);
    const [left, width] = [this.x(start), Math.max((end - start) * this.scale, 3)];
    const share = stood(round);
    const solid = width * share;
    parts.push(svg("rect", { class: "bar-fell", x: left, y: DRAFT, width, height: LANE, rx: 3 }));
    if (solid > 0) parts.push(svg("rect", { class: "bar-stood", x: left, y: DRAFT, width: solid, height: LANE, rx: 3 }));
    const [from, to] = [left + width, this.x(clock.verify_began_micros)];
    const bend = (DRAFT + LANE + VERIFY) / 2;
    parts.push(svg("path", {
      class: "handover", d: `M${from} ${DRAFT + LANE} C${from} ${bend} ${to} ${bend} ${to} ${VERIFY}`,
    }));
    return parts.flat();
  }

  drop(block) {
    const end = this.x(block.arrived_micros);
    const width = Math.max(block.draft_compute_micros * this.scale, 4);
    const [left, top, bottom] = [end - width, DRAFT, DRAFT + LANE];
    return [
      svg("rect", { class: "bar-dropped", x: left, y: top, width, height: LANE, rx: 3 }),
      svg("path", { class: "cross", d: `M${end - 4} ${top}L${end} ${top + 4}M${end} ${top}L${end - 4} ${top + 4}` }),
      svg("path", { class: "cross", d: `M${left} ${bottom}L${end} ${top}` }),
    ];
  }

  verifying(round) {
    const { clock } = round.detail;
    const parts = [];
    const waited = round.timings.draft_wait_micros * this.scale;
    if (waited > 2) {
      parts.push(svg("rect", {
        class: "bar-wait", x: this.x(clock.began_micros), y: VERIFY + 5, width: waited, height: LANE - 10, rx: 3,
      }));
    }
    const left = this.x(clock.verify_began_micros);
    const width = Math.max(this.x(clock.verify_ended_micros) - left, 2);
    const kind = round.proposed_tokens > 0 ? "bar-verify" : "bar-plain";
    parts.push(svg("rect", { class: kind, x: left, y: VERIFY, width, height: LANE, rx: 3 }));
    if (width > 30 && round.proposed_tokens > 0) {
      parts.push(number(left + width / 2, VERIFY, `${round.accepted_tokens}/${round.proposed_tokens}`));
    }
    return parts;
  }

  drawPrompt(until) {
    const width = Math.max(until * this.scale - 1, 2);
    this.under.append(svg("rect", { class: "bar-prompt", x: MARGIN, y: VERIFY, width, height: LANE, rx: 3 },
      svg("title", {}, `prompt read in ${time(until)}`)));
  }

  tick(width) {
    const step = roundStep(90 / this.scale);
    this.ticked ??= 0;
    for (; this.x(this.ticked) < width; this.ticked += step) {
      const x = this.x(this.ticked);
      this.under.prepend(svg("line", { class: "axis", x1: x, x2: x, y1: 0, y2: AXIS }));
      this.under.append(svg("text", { class: "axis-text", x: x + 3, y: AXIS + 12 }, label(this.ticked, step)));
    }
  }
}

export function explain(legend) {
  const sample = (...shapes) => svg("svg", { width: 26, height: 16, "aria-hidden": "true" }, ...shapes);
  const bar = (name) => svg("rect", { class: name, x: 1, y: 2, width: 24, height: 12, rx: 3 });
  const entries = [
    [sample(bar("bar-stood")), "drafted and accepted"],
    [sample(bar("bar-fell")), "drafted and rejected"],
    [sample(bar("bar-dropped"), svg("path", { class: "cross", d: "M1 14L25 2" })), "drafted ahead in vain"],
    [sample(bar("bar-wait")), "verifier waits"],
    [sample(bar("bar-verify")), "verifier checks a block"],
    [sample(bar("bar-plain")), "plain round"],
    [sample(bar("bar-prompt")), "reads the prompt"],
  ];
  byId(legend).replaceChildren(...entries.map(([picture, text]) => html("li", {}, picture, text)));
}

export function sentence(round) {
  const { clock } = round.detail;
  const took = time(clock.ended_micros - clock.began_micros);
  if (round.proposed_tokens === 0) return `Round ${round.round}: plain, ${reason(round.fallback)}, ${took}`;
  return `Round ${round.round}: ${round.accepted_tokens} of ${plural(round.proposed_tokens, "token")} accepted, ${took}`;
}

export function reason(fallback) {
  const reasons = {
    off: "drafters may not help", no_drafter: "no drafter", breaker_open: "the drafter is left alone after failures",
    opening: "the drafter is being joined", late: "the block was late", stale: "the block continued another text",
    disconnected: "the drafter was lost", protocol: "the drafter broke the protocol", failed: "the drafter failed",
    paused: "drafting would not pay, or is only tried out", nothing_usable: "the block had nothing of use", last_token: "one token was left",
  };
  return reasons[fallback] ?? fallback;
}

// The share of the drafted tokens that stands, by the groups whose candidates all stand.
function stood(round) {
  const { groups, draft_tokens } = round.detail;
  const whole = groups.filter((group) => group.candidates[1] <= round.accepted_tokens);
  return draft_tokens.length ? (whole.at(-1)?.draft[1] ?? 0) / draft_tokens.length : 0;
}

function number(x, lane, text) {
  return svg("text", { class: "count", x, y: lane + LANE / 2 + 4, "aria-hidden": "true" }, text);
}

function lengthOf(round) {
  return round.detail.clock.ended_micros - round.detail.clock.began_micros;
}

function middle(values) {
  return Math.max([...values].sort((a, b) => a - b)[Math.floor(values.length / 2)], 1);
}

// The next of 1, 2, 5 times a power of ten.
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least);
}

function label(micros, step) {
  if (step >= 1_000_000) return `${micros / 1e6} s`;
  return step >= 10_000 && micros >= 1_000_000 ? `${(micros / 1e6).toFixed(2)} s` : `${micros / 1000} ms`;
}

