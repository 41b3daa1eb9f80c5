"use strict";
// Text from outside reaches this script only as nodes that the page already holds: nothing is parsed here.
const byId = (id) => document.getElementById(id);
const cards = [...document.querySelectorAll(".card")];
const list = byId("cards");
const rows = [...list.children];
const perRow = rows[0]?.children.length;
const viewer = byId("viewer");
const selects = ["difficulty", "tag", "outcome", "sort"].map(byId).filter(Boolean);
const pills = [...document.querySelectorAll(".pills button")];
let category = "";
let shown = cards;
let current = null;

const chosen = (id) => byId(id)?.value ?? "";
const numberOf = (card, key) => (card.dataset[key] === "" ? null : Number(card.dataset[key]));

function passes(card) {
  const data = card.dataset;
  const outcome = chosen("outcome");
  return (
    (!category || data.category === category) &&
    (!chosen("difficulty") || data.difficulty === chosen("difficulty")) &&
    (!chosen("tag") || data.tags.includes(` ${chosen("tag")} `)) &&
    (!outcome || (outcome === "failed" ? data.failed === "1" : data.outcomes.includes(` ${outcome} `)))
  );
}

// What the cards are ordered by, smallest first; a card without a number comes last whichever way.
const keys = {
  order: () => 0,
  low: (card) => numberOf(card, "score"),
  high: (card) => negative(numberOf(card, "score")),
  spread: (card) => negative(absolute(numberOf(card, "difference"))),
  disagreement: (card) => negative(numberOf(card, "disagreement")),
  first: (card) => numberOf(card, "difference"),
  second: (card) => negative(numberOf(card, "difference")),
};
const negative = (value) => (value === null ? null : -value);
const absolute = (value) => (value === null ? null : Math.abs(value));

function apply() {
  const key = keys[chosen("sort")];
  const sorted = cards // which stand in benchmark order, and stay in it where they are equal
    .map((card) => [key(card) ?? Infinity, card])
    .sort((a, b) => (a[0] === b[0] ? 0 : a[0] - b[0]))
    .map((pair) => pair[1]);
  for (const card of cards) card.hidden = !passes(card);
  shown = sorted.filter((card) => !card.hidden);
  const all = [...shown, ...sorted.filter((card) => card.hidden)];
  rows.forEach((row, place) => {
    row.append(...all.slice(place * perRow, (place + 1) * perRow));
    row.hidden = place * perRow >= shown.length;
  });
  for (const pill of pills) pill.setAttribute("aria-pressed", String(pill.dataset.category === category));
  byId("count").textContent =
    shown.length === cards.length ? `${cards.length} pairs` : `${shown.length} of ${cards.length} pairs`;
  byId("reset").hidden = shown.length === cards.length && chosen("sort") === "order";
  byId("nothing").hidden = shown.length > 0;
}

function reset() {
  category = "";
  for (const select of selects) select.selectedIndex = 0;
  apply();
}

function linkTo(card) {
  return card.querySelector("a.figures").getAttribute("href");
}

function fill(card) {
  current = card;
  const copy = card.cloneNode(true);
  copy.removeAttribute("id"); // two elements with one id would break the deep link
  for (const image of copy.querySelectorAll("img")) {
    image.loading = "eager";
    if (image.dataset.full) image.src = image.dataset.full;
  }
  const figures = document.createElement("div"); // a link inside its own target leads nowhere
  figures.className = "figures";
  figures.style.setProperty("--n", copy.querySelectorAll("figure").length);
  figures.append(...copy.querySelector("a.figures").childNodes);
  copy.querySelector("a.figures").replaceWith(figures);
  overlay(copy);
  byId("view").replaceChildren(copy);
  byId("view").scrollTop = 0;
  const place = shown.indexOf(card);
  byId("position").textContent = place < 0 ? "" : `${place + 1} of ${shown.length}`;
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place < 0 || place === shown.length - 1;
}

function open(card) {
  fill(card);
  history.pushState({ view: true }, "", linkTo(card));
  show();
}

function show() {
  if (viewer.open) return;
  viewer.showModal();
  byId("view").focus(); // else the first button has it, and the space bar presses that
}

function step(by) {
  const card = shown[shown.indexOf(current) + by];
  if (!card || !viewer.open) return;
  fill(card);
  history.replaceState({ view: true }, "", linkTo(card));
}

function target() {
  let anchor = location.hash.slice(1);
  try {
    anchor = decodeURIComponent(anchor);
  } catch {
    return null; // a link that someone cut short
  }
  return cards.find((card) => card.id === anchor) ?? null;
}

// The address decides what is open, so that Back, Forward and a copied link do what they say.
function follow() {
  const card = target();
  if (history.state?.view && card) {
    fill(card);
    show();
    return;
  }
  const from = viewer.open ? current : null;
  if (viewer.open) viewer.close();
  if (card?.hidden) reset();
  mark(card);
  (from ?? card)?.scrollIntoView({ block: from ? "nearest" : "center" });
  from?.querySelector("a.figures").focus({ preventScroll: true });
}

function mark(card) {
  for (const other of document.querySelectorAll(".card.marked")) other.classList.remove("marked");
  card?.classList.add("marked");
}

// The source lies over each edit, unseen until it is asked for.
function overlay(copy) {
  const source = copy.querySelector(".source img");
  for (const image of source ? copy.querySelectorAll(".edit img") : []) {
    const before = source.cloneNode();
    before.className = "before";
    before.alt = "";
    image.after(before);
  }
}

// Holding space, or the edited picture, shows the source in its place: the eye sees what moved.
function peek(on) {
  byId("view").classList.toggle("peeking", on);
}

// The slider shows the source left of its line and the edit right of it.
function slide(on) {
  byId("view").classList.toggle("sliding", on);
  byId("slide").setAttribute("aria-pressed", String(on));
  byId("slider").hidden = !on;
  (on ? byId("share") : byId("view")).focus();
}

function share(percent) {
  byId("share").value = percent;
  byId("view").style.setProperty("--share", `${byId("share").value}%`);
}

function drag(event) {
  const frame = event.target.closest(".edit .frame");
  if (!frame || !event.buttons || !byId("view").classList.contains("sliding")) return;
  const box = frame.getBoundingClientRect();
  share((100 * (event.clientX - box.left)) / box.width);
}

for (const pill of pills)
  pill.addEventListener("click", () => {
    category = pill.dataset.category;
    apply();
  });
for (const select of selects) select.addEventListener("change", apply);
byId("reset").addEventListener("click", reset);
byId("tools").addEventListener("submit", (event) => event.preventDefault());
list.addEventListener("click", (event) => {
  const link = event.target.closest("a.figures");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  open(link.closest(".card"));
});
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => history.back());
viewer.addEventListener("cancel", (event) => {
  event.preventDefault();
  history.back();
});
viewer.addEventListener("keydown", (event) => {
  const sliding = byId("view").classList.contains("sliding");
  if (event.key.toLowerCase() === "s" && !event.ctrlKey && !event.metaKey) slide(!sliding);
  else if (event.target === byId("share")) return; // the arrows move the line
  else if (event.key === "ArrowLeft") step(-1);
  else if (event.key === "ArrowRight") step(1);
  else if (event.key === " " && !event.target.closest("button")) {
    event.preventDefault();
    peek(true);
  }
});
viewer.addEventListener("keyup", (event) => event.key === " " && peek(false));
byId("slide").addEventListener("click", () => slide(!byId("view").classList.contains("sliding")));
byId("share").addEventListener("input", () => share(byId("share").value));
for (const move of ["pointerdown", "pointermove"]) byId("view").addEventListener(move, drag);
byId("view").addEventListener("pointerdown", (event) => {
  if (event.target.closest(".edit img")) peek(!byId("view").classList.contains("sliding"));
});
for (const end of ["pointerup", "pointercancel", "pointerleave"]) byId("view").addEventListener(end, () => peek(false));
window.addEventListener("popstate", follow);

byId("tools").hidden = false;
apply();
if (history.state?.view) history.replaceState(null, "", location.hash); // after a reload: the card, not the view
if (target()) follow();
