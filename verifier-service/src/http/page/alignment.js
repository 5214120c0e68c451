// One round token by token: the drafter's tokens above, the target's tokens that spell the same bytes below, what belongs to
// what between, and under those what the target chose itself.

import { byId, chance, html, numbers, plural, svg, time, visible } from "./elements.js";
import { reason } from "./timeline.js";

const CHARACTER = 8;
const PADDING = 16;
const LEAST = 58;
const GAP = 8;
const LEFT = 76;
const TOKEN = 32;
const ROWS = { draft: 18, candidates: 122, chosen: 212 };

export function show(round) {
  const { detail } = round;
  byId("alignment").hidden = false;
  byId("alignment-title").textContent = `Round ${round.round}`;
  byId("alignment-summary").textContent = summary(round);
  byId("alignment-view").replaceChildren(picture(round));
  byId("alignment-table").replaceChildren(table(round));
  const { timings } = round;
  numbers(byId("alignment-numbers"), [
    ["drafting", time(timings.draft_compute_micros)],
    ["waited for the block", time(timings.draft_wait_micros)],
    ["re-encoding and aligning", time(timings.re_encode_micros + timings.align_micros)],
    ["in the queue", time(timings.queue_micros)],
    ["verifying", time(timings.verify_micros)],
    ["bytes guessed ahead of the verdict", `${detail.skipped_bytes}`],
    ["blocks dropped", `${detail.dropped.length}`],
  ]);
}

function summary(round) {
  const { detail } = round;
  if (round.proposed_tokens === 0) {
    return `Plain: ${reason(round.fallback)}. The target chose ${quoted(detail.chosen)} itself.`;
  }
  const drafted = plural(detail.draft_tokens.length, "draft token");
  const became = `${drafted} became ${plural(detail.candidates.length, "target token")}, ${round.accepted_tokens} accepted.`;
  if (!detail.chosen) return `${became} The reply ended there.`;
  if (isBonus(round)) return `${became} All stood, so the pass gave ${quoted(detail.chosen)} as a bonus.`;
  const rejected = detail.candidates[round.accepted_tokens];
  return `${became} In place of ${quoted(rejected)} (${chance(rejected.probability)}) the target chose ${quoted(detail.chosen)} ` +
    `(${chance(detail.chosen.probability)}).`;
}

const quoted = (token) => (token ? `“${visible(token)}”` : "nothing");
// Of several ways to go on the one that was taken is told.
const isBonus = (round) => round.accepted_tokens === round.detail.candidates.length;
const originOf = (round) => (round.proposed_tokens === 0 ? "plain" : isBonus(round) ? "bonus" : "correction");

function state(round, index) {
  if (index < round.accepted_tokens) return "accepted";
  return index === round.accepted_tokens && round.detail.chosen ? "rejected" : "behind";
}

function widthOf(token) {
  return Math.max([...visible(token)].length * CHARACTER + PADDING, LEAST);
}

// Lays both rows out group by group, so that what belongs together stands together.
function layout(detail) {
  const drafts = detail.draft_ends ? [...detail.draft_tokens, { text: "" }] : detail.draft_tokens;
  const draft = drafts.map((token) => ({ token, width: widthOf(token) }));
  const candidates = detail.candidates.map((token) => ({ token, width: widthOf(token) }));
  const links = [];
  let x = LEFT;
  const place = (boxes, width) => {
    const natural = boxes.reduce((sum, box) => sum + box.width, 0) + GAP * (boxes.length - 1);
    let at = x;
    for (const box of boxes) {
      box.width *= (width - GAP * (boxes.length - 1)) / (natural - GAP * (boxes.length - 1));
      box.x = at;
      at += box.width + GAP;
    }
  };
  const natural = (boxes) => boxes.reduce((sum, box) => sum + box.width + GAP, -GAP);
  let [drafted, spelled] = [0, 0];
  for (const group of detail.groups) {
    const above = draft.slice(...group.draft);
    const below = candidates.slice(...group.candidates);
    const width = Math.max(natural(above), natural(below));
    place(above, width);
    place(below, width);
    links.push({ x, width, group });
    x += width + 2 * GAP;
    [drafted, spelled] = [group.draft[1], group.candidates[1]];
  }
  const rest = [draft.slice(drafted), candidates.slice(spelled)].filter((boxes) => boxes.length);
  for (const boxes of rest) place(boxes, natural(boxes));
  x += Math.max(0, ...rest.map((boxes) => natural(boxes) + 2 * GAP));
  return { draft, candidates, links, end: x };
}

function picture(round) {
  const { detail } = round;
  const { draft, candidates, links, end } = layout(detail);
  const parts = [];
  for (const { x, width, group } of links) {
    const stands = group.candidates[1] <= round.accepted_tokens;
    parts.push(band(x, width, stands));
  }
  for (const box of draft) parts.push(token(box, ROWS.draft, "draft", ""));
  candidates.forEach((box, index) => {
    const kind = state(round, index);
    parts.push(token(box, ROWS.candidates, kind, { accepted: "✓", rejected: "✗", behind: "" }[kind]));
  });
  let width = end;
  if (detail.chosen) {
    const under = candidates[round.accepted_tokens];
    const box = { token: detail.chosen, width: widthOf(detail.chosen), x: under?.x ?? end };
    if (under) box.x += (under.width - box.width) / 2;
    box.x = Math.max(box.x, LEFT);
    const kind = originOf(round);
    if (under) parts.push(instead(under.x + under.width / 2));
    const row = under || candidates.length === 0 ? ROWS.chosen : ROWS.candidates;
    parts.push(token(box, row, kind, { correction: "→", bonus: "+", plain: "" }[kind]));
    width = Math.max(width, box.x + box.width + GAP);
  }
  const names = [["draft", "drafter"], ["candidates", "as target"], ["chosen", "target"]];
  const bonusOnly = candidates.length > 0 && isBonus(round);
  for (const [row, name] of names) {
    const isEmpty = { draft: draft.length === 0, candidates: candidates.length === 0, chosen: !detail.chosen || bonusOnly };
    if (isEmpty[row]) continue;
    parts.push(svg("text", { class: "row-name", x: 12, y: ROWS[row] + TOKEN / 2 + 4 }, name));
  }
  const top = draft.length + candidates.length === 0 ? ROWS.chosen - 18 : 0;
  const bottom = bonusOnly || !detail.chosen ? ROWS.candidates + TOKEN + 30 : ROWS.chosen + TOKEN + 28;
  return svg("svg", {
    width: width + 12, height: bottom - top, viewBox: `0 ${top} ${width + 12} ${bottom - top}`, role: "img", "aria-label": summary(round),
  }, ...parts);
}

function token(box, y, kind, mark) {
  const middle = box.x + box.width / 2;
  const part = svg("g", { class: `token ${kind}` },
    svg("rect", { x: box.x, y, width: box.width, height: TOKEN, rx: 6 }),
    svg("text", { x: middle, y: y + TOKEN / 2 + 4.5 }, visible(box.token)));
  if (kind === "draft") return part;
  const below = svg("text", { class: "chance", x: middle, y: y + TOKEN + 15 });
  if (mark) below.append(svg("tspan", { class: "mark" }, `${mark} `));
  below.append(chance(box.token.probability));
  part.append(below, svg("title", {}, `token ${box.token.id}, ${kind}: ${(100 * box.token.probability).toFixed(2)} % by the target`));
  return part;
}

function band(x, width, stands) {
  const [top, bottom, middle] = [ROWS.draft + TOKEN + 3, ROWS.candidates - 3, x + width / 2];
  const [waist, half] = [(top + bottom) / 2, width * 0.36];
  const d = `M${x} ${top}Q${middle - half} ${top + 16} ${middle - half} ${waist}Q${middle - half} ${bottom - 16} ${x} ${bottom}` +
    `H${x + width}Q${middle + half} ${bottom - 16} ${middle + half} ${waist}Q${middle + half} ${top + 16} ${x + width} ${top}Z`;
  return svg("path", { class: stands ? "link accepted" : "link", d });
}

function instead(x) {
  const [top, bottom] = [ROWS.candidates + TOKEN + 22, ROWS.chosen - 4];
  return svg("path", { class: "instead", d: `M${x} ${top}V${bottom}M${x - 4} ${bottom - 5}L${x} ${bottom}L${x + 4} ${bottom - 5}` });
}

function table(round) {
  const { detail } = round;
  const row = (...cells) => html("tr", {}, ...cells.map((cell) => html("td", {}, cell)));
  const words = { accepted: "accepted", rejected: "rejected", behind: "not reached" };
  const rows = detail.candidates.map((candidate, index) => {
    const group = detail.groups.find(({ candidates }) => candidates[0] <= index && index < candidates[1]);
    const drafted = group ? detail.draft_tokens.slice(...group.draft).map(visible).join(" | ") : "";
    return row(`${index + 1}`, drafted, visible(candidate), chance(candidate.probability), words[state(round, index)]);
  });
  if (detail.chosen) rows.push(row("", "", visible(detail.chosen), chance(detail.chosen.probability), originOf(round)));
  const heads = ["", "draft tokens of the group", "target token", "probability", "what became of it"];
  return html("table", {},
    html("thead", {}, html("tr", {}, ...heads.map((head) => html("th", { scope: "col" }, head)))),
    html("tbody", {}, ...rows));
}
