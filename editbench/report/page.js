"use strict";
// Text from outside enters the page as text and attributes only: nothing of it is ever parsed as HTML.
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const { runs, pairs, measures, statuses, flags, failedCalls } = data;
const several = runs.length > 1;
const PER_ROW = several ? 4 : 12;
const list = byId("cards");
const viewer = byId("viewer");
const view = byId("view");
const form = byId("tools");
const selects = [...form.querySelectorAll("select")];
const inputs = [...form.querySelectorAll("input:not([name=run])")];
const boxes = [...form.querySelectorAll("input[name=run]")];
const pills = [...form.querySelectorAll(".pills button")];
const cards = new Map(); // of the chosen runs, by pair; made when they come near the window
let category = "";
let shown = pairs;
let current = null;
let replies = null;

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const chosen = (id) => byId(id)?.value ?? "";
const two = (value) => value.toFixed(2).replace("-0.00", "0.00").replace("-", "\u2212");
const chosenRuns = () => (boxes.length ? boxes.flatMap((box, run) => (box.checked ? [run] : [])) : runs.map((_, run) => run));
const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);
const isNumber = (value) => value !== null && value !== undefined;

// A run's number for a pair: of its tries that have one, their mean.
function number(pair, run, measure = Number(chosen("measure"))) {
  return mean(pair.edits[run].map((edit) => edit.v[measure]).filter(isNumber));
}

// ------------------------------------------------------------------------------------------------ filter and sort

function readReplies() {
  replies ??= JSON.parse(byId("replies").textContent);
  return replies;
}

function haystack(pair) {
  pair.words ??= [
    pair.id,
    pair.text,
    ...(pair.turns ?? []),
    ...pair.edits.flat().flatMap((edit) => [edit.r ?? "", edit.prompt ?? ""]),
    ...readReplies()[pairs.indexOf(pair)].flat(2).map((answer) => answer.reply ?? ""),
  ]
    .join("\n")
    .toLowerCase();
  return pair.words;
}

function passes(pair) {
  const of = chosen("of") === "" ? chosenRuns() : [Number(chosen("of"))];
  const edits = of.flatMap((run) => pair.edits[run]);
  const [kind, index] = chosen("outcome").split(":");
  const words = chosen("search").trim().toLowerCase();
  const low = chosen("from") === "" ? -Infinity : Number(chosen("from"));
  const high = chosen("to") === "" ? Infinity : Number(chosen("to"));
  const outcome = {
    "": () => true,
    failed: () => edits.some((edit) => statuses[edit.s].failed),
    status: () => edits.some((edit) => edit.s === Number(index)),
    flag: () => edits.some((edit) => edit.f?.includes(Number(index))),
    call: () => edits.some((edit) => edit.c?.includes(Number(index))),
  }[kind];
  return (
    (category === "" || pair.category === Number(category)) &&
    (chosen("difficulty") === "" || pair.difficulty === chosen("difficulty")) &&
    (chosen("language") === "" || pair.language === chosen("language")) &&
    (chosen("tag") === "" || pair.tags?.includes(Number(chosen("tag")))) &&
    outcome() &&
    ((low === -Infinity && high === Infinity) ||
      of.some((run) => {
        const value = number(pair, run);
        return value !== null && value >= low && value <= high;
      })) &&
    (!words || words.split(/\s+/).every((word) => haystack(pair).includes(word)))
  );
}

// What the pairs are ordered by, smallest first; a pair without a number comes last whichever way.
function sortKey(pair) {
  const values = chosenRuns().map((run) => number(pair, run));
  const known = values.filter(isNumber);
  const spread = known.length > 1 ? Math.max(...known) - Math.min(...known) : null;
  const step = values.length === 2 && known.length === 2 ? values[1] - values[0] : null;
  const negative = (value) => (value === null ? null : -value);
  return {
    order: () => 0,
    low: () => mean(known),
    high: () => negative(mean(known)),
    spread: () => negative(spread),
    tries: () => negative(triesSpread(pair)),
    disagreement: () => negative(pair.disagreement ?? null),
    first: () => step,
    second: () => negative(step),
    changed: () => negative(changedShare(pair, "d")),
    kept: () => changedShare(pair, "d"),
    outside: () => negative(changedShare(pair, "o")),
    newest: () => pair.newest ?? null,
  }[chosen("sort")]();
}

// The share of pixels that the chosen runs changed, over all ("d") or outside the benchmark's mask ("o"): their mean.
function changedShare(pair, which) {
  return mean(chosenRuns().flatMap((run) => pair.edits[run].flatMap((edit) => (edit[which] ? [edit[which][0]] : []))));
}

function triesSpread(pair) {
  const spreads = chosenRuns().flatMap((run) => {
    const values = pair.edits[run].map((edit) => edit.v[Number(chosen("measure"))]).filter(isNumber);
    return values.length > 1 ? [Math.max(...values) - Math.min(...values)] : [];
  });
  return spreads.length ? Math.max(...spreads) : null;
}

function apply() {
  shown = pairs
    .filter(passes)
    .map((pair, place) => [sortKey(pair) ?? Infinity, place, pair])
    .sort((a, b) => (a[0] === b[0] ? a[1] - b[1] : a[0] < b[0] ? -1 : 1))
    .map((entry) => entry[2]);
  const rows = [];
  for (let start = 0; start < shown.length; start += PER_ROW) {
    const row = make("div", { class: "rows" });
    row.pairs = shown.slice(start, start + PER_ROW);
    rows.push(row);
  }
  near.disconnect();
  list.replaceChildren(...rows);
  for (const row of rows.slice(0, 2)) fillRow(row);
  for (const row of rows) near.observe(row);
  for (const pill of pills) pill.setAttribute("aria-pressed", String(pill.dataset.category === category));
  const all = pairs.length === 1 ? "1 pair" : `${pairs.length} pairs`;
  byId("count").textContent = shown.length === pairs.length ? all : `${shown.length} of ${all}`;
  byId("reset").hidden = shown.length === pairs.length && chosen("sort") === byId("sort").options[0].value;
  byId("nothing").hidden = shown.length > 0;
  const active = [...form.querySelectorAll(".extra select, .extra input:not([name=run])")].filter(
    (field) => field.value !== "" && field.id !== "measure",
  );
  byId("active").textContent = active.length ? ` (${active.length})` : "";
  remember();
}

// Cards are made when their row comes near the window: twenty runs of 1,200 pairs are 25,000 pictures.
const near = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) if (entry.isIntersecting) fillRow(entry.target);
  },
  { rootMargin: "1200px 0px" },
);

function fillRow(row) {
  if (row.childElementCount) return;
  near.unobserve(row);
  row.append(...row.pairs.map(cardOf));
}

function cardOf(pair) {
  if (!cards.has(pair)) cards.set(pair, drawCard(pair));
  return cards.get(pair);
}

function reset() {
  category = "";
  for (const select of selects) select.selectedIndex = 0;
  for (const input of inputs) input.value = "";
  apply();
}

// A page that is written again while a run goes keeps what was chosen.
function remember() {
  const state = { category, values: [...selects, ...inputs].map((field) => field.value), boxes: boxes.map((b) => b.checked) };
  if (data.watch) sessionStorage.setItem("chosen", JSON.stringify(state));
}

function recall() {
  const state = data.watch && JSON.parse(sessionStorage.getItem("chosen"));
  if (!state) return;
  category = state.category;
  [...selects, ...inputs].forEach((field, place) => (field.value = state.values[place] ?? field.value));
  boxes.forEach((box, place) => (box.checked = state.boxes[place] ?? box.checked));
}

// ---------------------------------------------------------------------------------------------------------- cards

function image(picture, alt, full) {
  const [url, width, height, whole] = picture;
  const src = full && whole ? whole : url;
  return make("img", { src, width, height, alt, loading: full ? "eager" : "lazy", decoding: "async" });
}

function dot(run) {
  return make("i", { class: "dot", style: `background:${runs[run].color}` });
}

function name(run) {
  return make("bdi", {}, runs[run].name);
}

function frame(picture, alt, empty, full) {
  return make("div", { class: "frame" }, picture ? image(picture, alt, full) : make("span", { class: "empty" }, empty));
}

function sourceFigure(pair, place, full) {
  const label = pair.sources.length > 1 ? `Source ${place + 1}` : "Source";
  return make(
    "figure",
    { class: "source" },
    frame(pair.sources[place], `${label} of ${pair.id}`, "no source image here", full),
    make("figcaption", {}, make("span", { class: "label" }, label)),
  );
}

function editFigure(pair, run, place, full) {
  const edit = pair.edits[run][place];
  const several_tries = full && pair.edits[run].length > 1;
  const status = statuses[edit.s];
  const alone = ["pending", "edit failed", "edit refused"].includes(status.name);
  const value = full || pair.edits[run].length === 1 ? edit.v[shownMeasure()] : number(pair, run);
  const words = `${several_tries ? `try ${place + 1}` : ""}`;
  const label = several
    ? make("span", { class: "label" }, dot(run), name(run), words && ` ${words}`)
    : make("span", { class: "label" }, words ? `Edit, ${words}` : "Edit");
  const score = isNumber(value)
    ? make("span", { class: "score" }, two(value))
    : make("span", { class: `status${status.failed ? "" : " waiting"}` }, status.name);
  const small = measures.flatMap((measure, index) => {
    const found = full ? edit.v[index] : number(pair, run, index);
    return index !== shownMeasure() && isNumber(found) && measure.shown ? [`${measure.label} ${two(found)}`] : [];
  });
  const tries = !full && pair.edits[run].length > 1 ? [`mean of ${pair.edits[run].length} tries`] : [];
  const notes = (edit.f ?? []).map((flag) => make("span", { class: "flag" }, flags[flag]));
  const more = [...tries, ...(full ? small : small.slice(0, 4))];
  return make(
    "figure",
    { class: "edit", "data-run": run },
    frame(edit.p, `Edit of ${pair.id} by ${runs[run].name}`, alone ? status.name : "no edited image here", full),
    make("figcaption", {}, label, score),
    more.length > 0 && make("p", { class: "small" }, more.join(" · ")),
    full && edit.d && make("p", { class: "small" }, changeWords(edit.d, "Changed")),
    full && edit.o && make("p", { class: "small" }, changeWords(edit.o, "Consistency outside the edit, changed")),
    notes.length > 0 && make("p", { class: "meta" }, ...notes),
    edit.r && make("p", { class: "reason", dir: "auto" }, edit.r),
  );
}

// What an edit changed, in numbers that describe it and judge nothing.
function changeWords([share, ssim, psnr], what) {
  const parts = [`${(100 * share).toFixed(share < 0.1 ? 1 : 0)} % of pixels`, `SSIM ${two(ssim)}`, isNumber(psnr) ? `PSNR ${psnr.toFixed(1)} dB` : "no pixel differs"];
  return `${what}: ${parts.join(" · ")}`;
}

function mapFigure(pair, run, place, full) {
  const edit = pair.edits[run][place];
  if (!edit.m) return null;
  const [, width, height] = pair.sources[0];
  return make(
    "figure",
    { class: "change" },
    frame([edit.m, width, height, null], `Where the edit of ${pair.id} differs from its source`, "", full),
    make("figcaption", {}, make("span", { class: "label" }, full ? "Change, four times as bright" : `Changed: ${(100 * edit.d[0]).toFixed(edit.d[0] < 0.1 ? 1 : 0)} % of pixels`)),
  );
}

const shownMeasure = () => Number(chosen("measure") || 0);

function figures(pair, full) {
  const sources = pair.sources.map((_, place) => sourceFigure(pair, place, full));
  const references = full ? (pair.references ?? []).map(([label, picture]) => referenceFigure(pair, label, picture)) : [];
  const edits = chosenRuns().flatMap((run) =>
    (full ? pair.edits[run] : [0]).flatMap((_, place) => [
      editFigure(pair, run, place, full),
      ...(chosenRuns().length === 1 ? [mapFigure(pair, run, place, full)] : []),
    ]),
  );
  return [...sources, ...references, ...edits].filter((figure) => figure !== null);
}

function referenceFigure(pair, label, picture) {
  return make(
    "figure",
    { class: "reference" },
    frame(picture, `${label} of ${pair.id}`, "not here", true),
    make("figcaption", {}, make("span", { class: "label" }, make("bdi", {}, label), ", for the judge")),
  );
}

function chips(pair) {
  const words = [data.categories[pair.category], pair.difficulty, several_languages && pair.language].filter(Boolean);
  return make(
    "p",
    { class: "meta" },
    ...words.map((word) => make("span", {}, make("bdi", {}, word))),
    ...(pair.tags ?? []).map((tag) => make("span", { class: "tag" }, make("bdi", {}, data.tags[tag]))),
    pair.differs && make("span", { class: "flag" }, "the runs ask different things here"),
  );
}
const several_languages = new Set(pairs.map((pair) => pair.language)).size > 1;

function drawCard(pair) {
  const shownFigures = figures(pair, false);
  const first = pair.sources[0];
  return make(
    "article",
    { class: "card", id: pair.anchor, style: first ? `--ratio:${first[1]}/${first[2]}` : null },
    make(
      "a",
      { class: "figures", href: linkTo(pair), style: `--n:${shownFigures.length}` },
      make("span", { class: "unseen" }, `Open pair ${pair.id}:`),
      ...shownFigures,
    ),
    make(
      "div",
      { class: "body" },
      make("p", { class: "instruction", dir: "auto" }, pair.text),
      chips(pair),
      make("p", { class: "id" }, make("bdi", {}, pair.id)),
    ),
  );
}

// --------------------------------------------------------------------------------------------------------- viewer

function fill(pair) {
  current = pair;
  const first = pair.sources[0];
  const all = figures(pair, true);
  const card = make(
    "article",
    { class: "card", style: first ? `--ratio:${first[1]}/${first[2]}` : null },
    make("div", { class: "figures", style: `--n:${all.length}` }, ...all),
    make(
      "div",
      { class: "body" },
      make("p", { class: "instruction", dir: "auto" }, pair.text),
      chips(pair),
      ...section("What a right edit shows", pair.rationale),
      ...section("What the source shows", pair.description),
      ...prompts(pair),
      ...said(pair),
      make("p", { class: "id" }, make("bdi", {}, pair.id)),
    ),
  );
  overlay(card, first);
  view.replaceChildren(card);
  view.scrollTop = 0;
  const place = shown.indexOf(pair);
  byId("position").textContent = place < 0 ? "" : `${place + 1} of ${shown.length}`;
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place < 0 || place === shown.length - 1;
}

function section(title, text) {
  return text ? [make("h3", {}, title), make("p", { dir: "auto" }, text)] : [];
}

function prompts(pair) {
  const given = chosenRuns().flatMap((run) => pair.edits[run].map((edit) => [run, edit.prompt]));
  return given.filter(([, prompt]) => prompt).flatMap(([run, prompt]) => section(`What ${runs[run].name} was given`, prompt));
}

// Each call's reply, as the judge gave it, with what was read of it.
function said(pair) {
  const of_pair = readReplies()[pairs.indexOf(pair)];
  const blocks = chosenRuns().flatMap((run) =>
    of_pair[run].flatMap((answers, place) => {
      if (!answers.length) return [];
      const tries = of_pair[run].length > 1 ? ` try ${place + 1}` : "";
      const who = several || tries ? make("p", { class: "who" }, several && dot(run), several && name(run), tries) : null;
      return [make("div", { class: "said" }, who, ...answers.map(oneAnswer))];
    }),
  );
  return blocks.length ? [make("h3", {}, "What the judge said"), ...blocks] : [];
}

function oneAnswer(answer) {
  const read = Object.entries(answer.readings ?? {}).map(([key, value]) => `${key} ${Number(value.toFixed(3))}`);
  const which = answer.repeat ? `${answer.call}, repeat ${answer.repeat + 1}` : answer.call;
  return make(
    "div",
    { class: "answer" },
    make(
      "p",
      { class: "call" },
      make("b", {}, which),
      read.length > 0 && make("span", {}, read.join(" · ")),
      answer.failure && make("span", { class: "status" }, answer.failure),
      answer.model && make("span", { class: "model" }, make("bdi", {}, answer.model)),
    ),
    answer.detail && make("p", { class: "reason", dir: "auto" }, answer.detail),
    (answer.notes ?? []).length > 0 && make("p", { class: "small" }, answer.notes.join("; ")),
    isNumber(answer.reply) && make("blockquote", { class: "reply", dir: "auto" }, answer.reply.trim() ? answer.reply : "(an empty reply)"),
  );
}

const linkTo = (pair) => `#${encodeURIComponent(pair.anchor)}`;

function open(pair) {
  fill(pair);
  history.pushState({ view: true }, "", linkTo(pair));
  show();
}

function show() {
  if (viewer.open) return;
  viewer.showModal();
  view.focus(); // else the first button has it, and the space bar presses that
}

function step(by) {
  const pair = shown[shown.indexOf(current) + by];
  if (!pair || !viewer.open) return;
  fill(pair);
  history.replaceState({ view: true }, "", linkTo(pair));
}

function target() {
  let anchor = location.hash.slice(1);
  try {
    anchor = decodeURIComponent(anchor);
  } catch {
    return null; // a link that someone cut short
  }
  return pairs.find((pair) => pair.anchor === anchor) ?? null;
}

// The card of a pair that is shown, with its row made.
function find(pair) {
  const row = list.children[Math.floor(shown.indexOf(pair) / PER_ROW)];
  if (row) fillRow(row);
  return row ? cardOf(pair) : null;
}

// The address decides what is open, so that Back, Forward and a copied link do what they say.
function follow() {
  const pair = target();
  if (history.state?.view && pair) {
    fill(pair);
    show();
    return;
  }
  const from = viewer.open ? current : null;
  if (viewer.open) viewer.close();
  if (pair && !shown.includes(pair)) reset();
  const card = pair && find(pair);
  mark(card);
  const back = from && find(from);
  (back ?? card)?.scrollIntoView({ block: back ? "nearest" : "center" });
  back?.querySelector("a.figures").focus({ preventScroll: true });
}

function mark(card) {
  for (const other of document.querySelectorAll(".card.marked")) other.classList.remove("marked");
  card?.classList.add("marked");
}

// The source lies over each edit, unseen until it is asked for.
function overlay(card, source) {
  for (const edited of source ? card.querySelectorAll(".edit img") : []) {
    const before = image(source, "", true);
    before.className = "before";
    edited.after(before);
  }
}

// Holding space, or the edited picture, shows the source in its place: the eye sees what moved.
const peek = (on) => view.classList.toggle("peeking", on);

// The slider shows the source left of its line and the edit right of it.
function slide(on) {
  if (on) mapChange(false);
  view.classList.toggle("sliding", on);
  byId("slide").setAttribute("aria-pressed", String(on));
  byId("slider").hidden = !on;
  (on ? byId("share") : view).focus();
}

// The change map is the difference of source and edit in each pixel, made brighter; black: nothing changed.
function mapChange(on) {
  if (on) slide(false);
  view.classList.toggle("mapping", on);
  byId("map").setAttribute("aria-pressed", String(on));
}

function share(percent) {
  byId("share").value = percent;
  view.style.setProperty("--share", `${byId("share").value}%`);
}

function drag(event) {
  const on = event.target.closest(".edit .frame");
  if (!on || !event.buttons || !view.classList.contains("sliding")) return;
  const box = on.getBoundingClientRect();
  share((100 * (event.clientX - box.left)) / box.width);
}

const toggles = { s: () => slide(!view.classList.contains("sliding")), d: () => mapChange(!view.classList.contains("mapping")) };

// -------------------------------------------------------------------------------------------------- results table

function sortTable(button) {
  const head = button.closest("th");
  const table = head.closest("table");
  const column = Number(head.dataset.column);
  const falling = head.getAttribute("aria-sort") !== "descending";
  for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const body = table.tBodies[0];
  const key = (row) => (column < 0 ? row.cells[0].textContent.trim() : row.cells[column + 1].dataset.value);
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (column < 0) return (falling ? -1 : 1) * x.localeCompare(y, "en");
    if (x === "" || y === "") return (x === "") - (y === ""); // without a number: last whichever way
    return (falling ? -1 : 1) * (Number(x) - Number(y));
  };
  body.append(...[...body.rows].sort(compare));
}

function chooseView(button) {
  for (const other of document.querySelectorAll(".views button")) other.setAttribute("aria-pressed", String(other === button));
  for (const part of document.querySelectorAll("[data-view]")) part.hidden = part.dataset.view !== button.dataset.show;
}

// As LaTeX, Markdown or CSV, in the order that is shown.
async function copyTable(button) {
  const shownView = document.querySelector('.views [aria-pressed="true"]')?.dataset.show ?? Object.keys(data.tables)[0];
  const form = data.tables[shownView][button.dataset.form];
  const rows = document.querySelector(`table[data-table="${shownView}"]`)?.tBodies[0].rows ?? [{ dataset: { run: 0 } }];
  const text = form.head + [...rows].map((row) => form.rows[Number(row.dataset.run)]).join("") + form.foot;
  const area = byId("copied");
  area.value = text;
  area.hidden = false;
  area.focus();
  area.select();
  const taken = await navigator.clipboard?.writeText(text).then(
    () => true,
    () => false, // a browser that does not allow it: the text stands there, selected
  );
  byId("copy-state").textContent = taken ? `${button.textContent} copied.` : "Press Ctrl+C to copy.";
}

for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => sortTable(button));
for (const button of document.querySelectorAll(".views button")) button.addEventListener("click", () => chooseView(button));
for (const button of document.querySelectorAll(".copies button")) button.addEventListener("click", () => copyTable(button));

// --------------------------------------------------------------------------------------------------------- events

for (const pill of pills)
  pill.addEventListener("click", () => {
    category = pill.dataset.category;
    apply();
  });
byId("category")?.addEventListener("change", () => (category = chosen("category")));
for (const select of selects) {
  select.addEventListener("change", () => {
    if (select.id === "measure") cards.clear();
    apply();
  });
}
for (const input of inputs) input.addEventListener("input", apply);
for (const box of boxes)
  box.addEventListener("change", () => {
    if (!boxes.some((other) => other.checked)) box.checked = true; // one is always shown
    cards.clear();
    byId("chosen").textContent = `${chosenRuns().length} of ${runs.length}`;
    for (const option of byId("sort").options)
      if (["first", "second"].includes(option.value)) option.hidden = option.disabled = chosenRuns().length !== 2;
    if (byId("sort").selectedOptions[0]?.disabled) byId("sort").selectedIndex = 0;
    apply();
  });
byId("reset").addEventListener("click", reset);
form.addEventListener("submit", (event) => event.preventDefault());
list.addEventListener("click", (event) => {
  const link = event.target.closest("a.figures");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  open(pairs.find((pair) => pair.anchor === link.closest(".card").id));
});
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => history.back());
viewer.addEventListener("cancel", (event) => {
  event.preventDefault();
  history.back();
});
viewer.addEventListener("keydown", (event) => {
  const toggle = toggles[event.key.toLowerCase()];
  if (toggle && !event.ctrlKey && !event.metaKey) toggle();
  else if (event.target === byId("share")) return; // the arrows move the line
  else if (event.key === "ArrowLeft") step(-1);
  else if (event.key === "ArrowRight") step(1);
  else if (event.key === " " && !event.target.closest("button")) {
    event.preventDefault();
    peek(true);
  }
});
viewer.addEventListener("keyup", (event) => event.key === " " && peek(false));
document.addEventListener("keydown", (event) => {
  if (viewer.open || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea")) return;
  if (event.key === "/") {
    event.preventDefault();
    byId("search").focus();
  } else if (event.key === "j" || event.key === "k") walk(event.key === "j" ? 1 : -1);
});

// From card to card; Enter opens the one that has the focus.
function walk(by) {
  const from = document.activeElement?.closest(".card");
  const place = from ? shown.findIndex((pair) => pair.anchor === from.id) + by : 0;
  const card = shown[place] && find(shown[place]);
  card?.querySelector("a.figures").focus({ preventScroll: true });
  card?.scrollIntoView({ block: "center" });
}

byId("slide").addEventListener("click", toggles.s);
byId("map").addEventListener("click", toggles.d);
byId("share").addEventListener("input", () => share(byId("share").value));
for (const move of ["pointerdown", "pointermove"]) view.addEventListener(move, drag);
view.addEventListener("pointerdown", (event) => {
  const plain = !view.classList.contains("sliding") && !view.classList.contains("mapping");
  if (event.target.closest(".edit img")) peek(plain);
});
for (const end of ["pointerup", "pointercancel", "pointerleave"]) view.addEventListener(end, () => peek(false));
window.addEventListener("popstate", follow);

form.hidden = false;
recall();
apply();
if (history.state?.view) history.replaceState(null, "", location.hash); // after a reload: the card, not the view
if (target()) follow();
if (data.watch)
  setInterval(() => {
    if (!viewer.open && !document.hidden && !form.contains(document.activeElement)) location.reload();
  }, 1000 * data.watch);
