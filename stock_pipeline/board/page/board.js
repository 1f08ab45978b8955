// The page of the board: asks for what each panel shows, and draws it. Every text goes in as text, never as HTML.

import { template, volumeColour } from "/theme.js";

const EVERY = 2000; // milliseconds between two looks at the latest prices
const PAPER = 680; // pixels that fit on a page of A4 or letter
const SHOWN = 200; // rows of latest prices
// Nothing of a chart may leave this machine: Plotly has a button of its own that uploads it.
const CONFIG = {
  displaylogo: false,
  responsive: true,
  showSendToCloud: false,
  modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"],
};
const SYMBOL = ["prices", "ticks", "completeness"]; // the panels that are about the symbol
const PANELS = ["prices", "ticks", "latest", "completeness", "rejected", "lag"];

const find = (id) => document.getElementById(id);
const dark = matchMedia("(prefers-color-scheme: dark)");
const known = new Map(); // symbol: its first and last day, and the day of its last tick
const asked = new Map(); // panel: the number of its last question
let first = new Map(); // symbol: its price when the page began to look
let before = new Map();

function made(name, text = "", given = {}) {
  const element = document.createElement(name);
  element.textContent = text;
  return Object.assign(element, given);
}

// The key comes in the part of the address that browsers do not send, and stays with this tab.
function key() {
  const given = location.hash.slice(1);
  if (given.length > 30) {
    sessionStorage.setItem("key", given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem("key") ?? "";
}

const KEY = key();

async function ask(panel, given) {
  const query = new URLSearchParams(Object.entries(given).filter(([, value]) => value));
  let reply;
  try {
    reply = await fetch(`/data/${panel}?${query}`, { headers: { "X-Board-Key": KEY } });
  } catch {
    throw new Error("The board does not answer. Start it again with `stock-pipeline board`, and open its address.");
  }
  const text = await reply.text();
  if (reply.ok) return JSON.parse(text);
  throw new Error(text.startsWith("{") ? JSON.parse(text).error : text);
}

const plotly = new Promise((resolve) => {
  if (window.Plotly) resolve(window.Plotly);
  else find("plotly").addEventListener("load", () => resolve(window.Plotly));
});

// Where a panel shows its answer; made once, so that a chart is redrawn in its place.
function shown(section) {
  let box = section.querySelector(".shown");
  if (!box) {
    box = section.appendChild(made("div", "", { className: "shown" }));
    for (const name of ["above", "figure", "rest"]) box.append(made("div", "", { className: name }));
  }
  return box;
}

function facts(list) {
  const all = made("dl", "", { className: "facts" });
  for (const { name, value, note } of list) {
    const one = made("div");
    const said = made("dd", value);
    if (note) said.append(made("small", note));
    one.append(made("dt", name), said);
    all.append(one);
  }
  return all;
}

function table({ columns, rows }) {
  const whole = made("table");
  const head = whole.createTHead().insertRow();
  columns.forEach((name, at) => head.append(made("th", name, { scope: "col", className: at ? "" : "number" })));
  const body = whole.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    row.forEach((value, at) => {
      const cell = line.insertCell();
      cell.textContent = value;
      cell.dataset.name = columns[at];
      if (!at) cell.className = "number";
    });
  }
  const scroll = made("div", "", { className: "scroll", tabIndex: 0 });
  scroll.append(whole);
  return scroll;
}

function empty({ text, commands }) {
  const box = made("div", "", { className: "empty" });
  box.append(made("p", text), ...commands.map((each) => made("code", each)));
  return box;
}

// Draws a figure in the colours that the page has now.
async function drawn(place, figure, size) {
  for (const trace of figure.data) if (trace.yaxis === "y2") trace.marker = { color: volumeColour() };
  const layout = { ...figure.layout, ...size, template: template() };
  const config = { ...CONFIG, displayModeBar: place.clientWidth < 560 ? false : "hover" };
  await (await plotly).react(place, figure.data, layout, config);
}

async function draw(place, figure) {
  if (!figure) {
    if (place.data) (await plotly).purge(place);
    place.replaceChildren();
    return;
  }
  for (const trace of figure.data) {
    if (trace.type === "heatmap") trace.text = trace.z.map((row) => row.map((state) => trace.meta[state]));
  }
  await drawn(place, figure, { autosize: true });
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", figure.layout.meta.name);
  place.figure = figure;
}

function key_of_states() {
  const line = made("p", "", { className: "caption" });
  for (const [colour, text] of [["there", "bar"], ["missing", "missing"], ["none", "no bar yet, or no longer"]]) {
    const mark = made("span", "", { className: "key" });
    mark.style.background = `var(--${colour})`;
    line.append(mark, text);
  }
  return line;
}

async function show(panel, given = {}) {
  const section = find(panel);
  const number = (asked.get(panel) ?? 0) + 1;
  asked.set(panel, number);
  section.setAttribute("aria-busy", "true");
  const box = shown(section);
  const [above, chart, rest] = box.children;
  let answer;
  try {
    answer = await ask(panel, given);
  } catch (error) {
    answer = { error: error.message };
  }
  if (asked.get(panel) !== number) return undefined; // a newer question is on its way
  above.replaceChildren(...(answer.facts ? [facts(answer.facts)] : []));
  await draw(chart, answer.figure);
  rest.replaceChildren();
  if (answer.figure && panel === "completeness") rest.append(key_of_states());
  if (answer.caption) rest.append(made("p", answer.caption, { className: "caption" }));
  if (answer.table) rest.append(table(answer.table));
  if (answer.commands) {
    const commands = made("div", "", { className: "commands" });
    commands.append(...answer.commands.map((each) => made("code", each)));
    rest.append(commands);
  }
  if (answer.empty) rest.append(empty(answer.empty));
  if (answer.error) rest.append(made("p", answer.error, { className: "error" }));
  section.removeAttribute("aria-busy");
  return answer;
}

const field = (panel, name) => find(panel).querySelector(`[name=${name}]`);
const symbol = () => find("symbol").value.trim().toUpperCase();

// The same day some months earlier; the last of the month where there is no such day.
function earlier(day, months) {
  const [year, month, date] = day.split("-").map(Number);
  const last = new Date(Date.UTC(year, month - months, 0)).getUTCDate();
  return new Date(Date.UTC(year, month - 1 - months, Math.min(date, last) + (date <= last ? 1 : 0))).toISOString().slice(0, 10);
}

function span(months) {
  const end = known.get(symbol())?.[1] ?? new Date().toISOString().slice(0, 10);
  field("prices", "end").value = months ? end : "";
  field("prices", "start").value = months ? earlier(end, months) : "";
  for (const button of find("prices").querySelectorAll("[data-months]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.months) === months));
  }
}

const questions = {
  prices: () => ({ symbol: symbol(), start: field("prices", "start").value, end: field("prices", "end").value }),
  ticks: () => ({ symbol: symbol(), day: field("ticks", "day").value }),
  completeness: () => ({ symbol: symbol(), year: field("completeness", "year").value }),
  rejected: () => ({}),
  lag: () => ({ day: field("lag", "day").value }),
};

async function renew(panel) {
  if (panel === "latest") return look();
  if (!symbol() && (panel === "prices" || panel === "ticks")) return undefined;
  const answer = await show(panel, questions[panel]());
  for (const name of ["day", "year"]) {
    const input = answer?.[name] && field(panel, name);
    if (input && !input.value) input.value = answer[name];
  }
  return answer;
}

async function renewAll(panels) {
  for (const panel of panels) await renew(panel); // one after the other: the first is what is looked at first
}

function choose(name) {
  find("symbol").value = name;
  const days = known.get(name);
  span(12);
  field("ticks", "day").value = days?.[2] ?? "";
}

function signed(change, digits, unit = "") {
  const text = `${change > 0 ? "▲" : change < 0 ? "▼" : ""} ${Math.abs(change).toFixed(digits)}${unit}`;
  return { text: change ? text.trim() : "", kind: change > 0 ? "number rises" : change < 0 ? "number falls" : "number" };
}

function age(seconds) {
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}

function prices(answer) {
  const whole = made("table");
  const head = whole.createTHead().insertRow();
  for (const name of ["symbol", "price", "change", "since opened", "trade (UTC)", "age"]) {
    const kind = `${name === "symbol" ? "" : "number"}${/trade|change/.test(name) ? " wide" : ""}`;
    head.append(made("th", name, { scope: "col", className: kind }));
  }
  const body = whole.createTBody();
  answer.symbols.slice(0, SHOWN).forEach((name, at) => {
    const price = answer.prices[at];
    if (!first.has(name)) first.set(name, price);
    const change = signed(price - (before.get(name) ?? price), price < 1 ? 6 : 2);
    const since = signed((price / first.get(name) - 1) * 100, 2, " %");
    const line = body.insertRow();
    const button = made("button", name, { type: "button" });
    button.addEventListener("click", () => { choose(name); renewAll(SYMBOL); find("prices").scrollIntoView(); });
    line.insertCell().append(button);
    const cells = [
      [answer.texts[at], "number"], [change.text, `${change.kind} wide`], [since.text, since.kind],
      [answer.times[at].slice(0, 19).replace("T", " "), "number wide"], [age(answer.ages[at]), "number"],
    ];
    for (const [text, kind] of cells) Object.assign(line.insertCell(), { textContent: text, className: kind });
  });
  before = new Map(answer.symbols.map((name, at) => [name, answer.prices[at]]));
  const scroll = made("div", "", { className: "scroll", tabIndex: 0 });
  scroll.append(whole);
  return scroll;
}

// The latest prices are asked for again and again, without a sign of it, and only while somebody looks.
async function look() {
  const [above, , rest] = shown(find("latest")).children;
  let answer;
  try {
    answer = await ask("latest", {});
  } catch (error) {
    rest.replaceChildren(made("p", `${error.message} Trying again.`, { className: "error" }));
    return;
  }
  const top = above.querySelector(".scroll")?.scrollTop ?? 0;
  above.replaceChildren(answer.empty ? empty(answer.empty) : prices(answer));
  if (above.querySelector(".scroll")) above.querySelector(".scroll").scrollTop = top;
  const more = (answer.symbols?.length ?? 0) - SHOWN;
  const said = `Looked at ${new Date().toISOString().slice(11, 19)} UTC, every ${EVERY / 1000} s.`;
  rest.replaceChildren(made("p", said + (more > 0 ? ` ${more} more symbols are not shown.` : ""), { className: "caption" }));
}

async function keepLooking() {
  if (!document.hidden) await look();
  setTimeout(keepLooking, EVERY);
}

async function begin() {
  let answer;
  try {
    answer = await ask("overview", {});
  } catch (error) {
    find("place").replaceChildren(made("span", error.message, { className: "error" }));
    return;
  }
  find("place").textContent = answer.place;
  for (const [name, ...days] of answer.symbols) known.set(name, days);
  find("symbols").replaceChildren(...answer.symbols.map(([name]) => made("option", "", { value: name })));
  if (answer.empty) {
    find("overview").replaceChildren(made("h2", "Nothing here yet"), empty(answer.empty));
    find("overview").hidden = false;
  }
  const start = answer.symbols.find(([, , last]) => last) ?? answer.symbols[0];
  if (start) choose(start[0]);
  await renewAll(["prices", "ticks"]);
  keepLooking();
  await renewAll(["completeness", "rejected", "lag"]);
}

function redraw(size = { autosize: true }) {
  for (const panel of PANELS) {
    const place = find(panel).querySelector(".figure");
    if (place?.figure) drawn(place, place.figure, size);
  }
}

find("choice").addEventListener("submit", (event) => {
  event.preventDefault();
  choose(symbol());
  renewAll(SYMBOL);
});
find("again").addEventListener("click", () => (known.size ? renewAll(PANELS) : begin()));
find("print").addEventListener("click", () => window.print());
for (const panel of ["prices", "ticks", "completeness", "lag"]) {
  const form = find(panel).querySelector("form");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => {
    if (panel === "prices") for (const each of form.querySelectorAll("[data-months]")) each.setAttribute("aria-pressed", "false");
    renew(panel);
  });
}
for (const button of find("prices").querySelectorAll("[data-months]")) {
  button.addEventListener("click", () => { span(Number(button.dataset.months)); renew("prices"); });
}
dark.addEventListener("change", () => redraw());
// Paper is light and has a width of its own.
addEventListener("beforeprint", () => {
  document.documentElement.dataset.paper = "";
  redraw({ autosize: false, width: PAPER });
});
addEventListener("afterprint", () => {
  delete document.documentElement.dataset.paper;
  redraw();
});
// The address of a later start, in a tab that is open already, brings a new key.
addEventListener("hashchange", () => { if (location.hash.length > 30) location.reload(); });
begin();
