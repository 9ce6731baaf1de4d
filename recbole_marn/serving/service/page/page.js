// The page keeps a history and asks the service for a ranking whenever it changes. Text is set as text, never as HTML.
"use strict";

const DAY = 86400; // seconds from the last moment of training to the request; behaviours lie a minute apart before it
const SHOWN = 10;

const at = (id) => document.getElementById(id);
let health = null;
let history = []; // [{item, title, photo, type}]
let found = [];
let chosen = -1;
let asked = 0; // the latest request; answers of earlier ones are dropped

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  const answer = await fetch(path, options);
  const content = await answer.json();
  if (!answer.ok) {
    throw new Error(content.problems.map((one) => [one.where, one.reason].filter(Boolean).join(": ")).join(" "));
  }
  return content;
}

// ------------------------------------------------------------------------------------------------ items
function picture(item, small) {
  if (item.photo) return element("img", { src: item.photo, alt: "", loading: "lazy" });
  return small ? "" : element("span", { class: "blank", "aria-hidden": "true" });
}

function words(item) {
  const about = Object.values(item.about || {}).join(" · ");
  return element("div", { class: "words" },
    element("div", { class: "title" }, item.title),
    element("div", { class: "quiet" }, [item.title === item.item ? "" : item.item, about].filter(Boolean).join(" · ")));
}

function photosExist(items) {
  return items.some((item) => item.photo);
}

// ----------------------------------------------------------------------------------------------- search
let waiting = 0;
let searched = ""; // what `found` is of

function searchSoon() {
  clearTimeout(waiting);
  waiting = setTimeout(search, 120);
}

async function search() {
  const text = at("search").value.trim();
  if (!text) return close();
  try {
    const answer = await ask(`items?limit=12&search=${encodeURIComponent(text)}`);
    if (at("search").value.trim() !== text) return;
    [found, searched] = [answer.found, text];
    chosen = found.length ? 0 : -1;
    showFound();
  } catch (error) {
    tell(error.message, true);
  }
}

function showFound() {
  const rows = found.map((item, place) => {
    const row = element("li", { role: "option", id: `found-${place}`, "aria-selected": String(place === chosen) },
      picture(item, true), words(item));
    row.addEventListener("mousedown", (event) => { event.preventDefault(); take(place); });
    return row;
  });
  at("found").replaceChildren(...(rows.length ? rows : [element("li", { class: "empty" }, "No such item.")]));
  at("found").hidden = false;
  at("search").setAttribute("aria-expanded", "true");
  if (chosen >= 0) {
    at("search").setAttribute("aria-activedescendant", `found-${chosen}`);
    at(`found-${chosen}`).scrollIntoView({ block: "nearest" });
  } else {
    at("search").removeAttribute("aria-activedescendant");
  }
}

function close() {
  clearTimeout(waiting);
  [found, searched] = [[], ""];
  at("found").replaceChildren();
  chosen = -1;
  at("found").hidden = true;
  at("search").setAttribute("aria-expanded", "false");
  at("search").removeAttribute("aria-activedescendant");
}

function move(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && found.length) {
    event.preventDefault();
    chosen = (chosen + step + found.length) % found.length;
    showFound();
  } else if (event.key === "Escape") {
    close();
  }
}

function take(place) {
  if (place < 0 || place >= found.length) return;
  history.push({ ...found[place], type: health.reads.types[0] });
  at("search").value = "";
  close();
  changed();
}

// ---------------------------------------------------------------------------------------------- history
function changed() {
  at("history").replaceChildren(...history.map((item, place) => {
    const remove = element("button", { type: "button", class: "plain", "aria-label": `Remove ${item.title}` }, "Remove");
    remove.addEventListener("click", () => {
      history.splice(place, 1);
      changed();
      (at("history").querySelectorAll("button")[Math.min(place, history.length - 1)] || at("search")).focus();
    });
    const row = element("li", { class: "item" });
    if (photosExist(history)) row.append(picture(item));
    row.append(words(item));
    if (health.reads.types.length) row.append(types(item));
    row.append(remove);
    return row;
  }));
  at("none").hidden = history.length > 0;
  rank();
}

function types(item) {
  const select = element("select", { "aria-label": `What the user did with ${item.title}` },
    ...health.reads.types.map((type) => element("option", type === item.type ? { selected: "" } : {}, type)));
  select.addEventListener("change", () => { item.type = select.value; rank(); });
  return select;
}

// ---------------------------------------------------------------------------------------------- ranking
function request() {
  const now = health.latest + DAY;
  const fields = Object.fromEntries([...at("fields").querySelectorAll("input")].map((one) => [one.name, one.value]));
  const body = { k: SHOWN, why: true, context: fields, history: history.map((item) => ({ item: item.item })) };
  if (health.reads.time) {
    body.time = now;
    body.history.forEach((one, place) => { one.time = now - 60 * (history.length - place); });
  }
  if (health.reads.types.length) body.history.forEach((one, place) => { one.type = history[place].type; });
  return body;
}

async function rank() {
  const mine = ++asked;
  tell("Ranking …");
  try {
    const answer = await ask("recommend", request());
    if (mine !== asked) return;
    show(answer.ranking);
    const read = answer.behaviours < history.length ? ` It reads the latest ${answer.behaviours} behaviours.` : "";
    const among = health.retrieve === null ? "" : ` ${answer.scored} of them were scored, a short list.`;
    tell(`The ${answer.ranking.length} likeliest of ${health.items} items.${among}${read}`);
  } catch (error) {
    if (mine === asked) tell(error.message, true);
  }
}

function show(ranking) {
  const changes = ranking.flatMap((item) => (item.why || []).map((part) => Math.abs(part.change)));
  const largest = Math.max(1e-9, ...changes);
  at("ranking").replaceChildren(...ranking.map((item, place) => {
    const row = element("li", { class: "item" }, element("span", { class: "rank", "aria-hidden": "true" }, `${place + 1}`));
    if (photosExist(ranking)) row.append(picture(item));
    row.append(words(item), element("span", { class: "probability" }, percent(item.probability)));
    if (item.why) row.append(why(item.why, largest));
    return row;
  }));
  at("why").hidden = !changes.length;
}

function percent(probability) {
  return `${(100 * probability).toFixed(probability < 0.1 ? 2 : 1)} %`;
}

function why(parts, largest) {
  const list = element("dl", { class: "why" });
  for (const part of parts) {
    const points = 100 * part.change;
    const sign = points > 0 ? "+" : points < 0 ? "\u2212" : "";
    list.append(
      element("dt", {}, part.modality),
      element("dd", { "aria-hidden": "true" }, bar(part.change / largest)),
      element("dd", { class: "number" }, `${sign}${Math.abs(points).toFixed(2)}`));
  }
  return list;
}

function bar(share) {
  const filled = element("span", { class: share < 0 ? "down" : "up" });
  filled.style.width = `${50 * Math.abs(share)}%`;
  return element("span", { class: "bar" }, filled);
}

function tell(text, isProblem = false) {
  at("status").textContent = text;
  at("status").classList.toggle("problem", isProblem);
}

// ------------------------------------------------------------------------------------------------ start
async function start() {
  try {
    health = await ask("health");
  } catch (error) {
    at("model").textContent = `The service does not answer: ${error.message}`;
    return;
  }
  at("model").textContent = `${health.model}, ${health.items} items, export ${health.export}`;
  at("fields").replaceChildren(...health.reads.profile_and_context.flatMap((name) => {
    const input = element("input", { id: `field-${name}`, name });
    input.addEventListener("change", rank);
    return [element("label", { for: `field-${name}` }, name), input];
  }));
  changed();
}

at("search").addEventListener("input", searchSoon);
at("search").addEventListener("keydown", move);
at("search").addEventListener("blur", close);
at("search-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (at("search").value.trim() !== searched) await search(); // Enter came before the answer
  take(chosen);
});
at("clear").addEventListener("click", () => { history = []; at("search").focus(); changed(); });
start();
