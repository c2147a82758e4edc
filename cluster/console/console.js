/* console.js - the console: asks the server that it came from, and nobody else. Whatever comes from
   there is shown as text, never as markup. */
"use strict";

const EVERY = 2000; // milliseconds between two looks at the metrics
const POINTS = 150; // of the chart: five minutes
const LONG = 60; // characters from which a value gets a line of its own

const at = (id) => document.getElementById(id);
let key = ""; // of the requests; forgotten with the page
let chosen = null; // the collection that is shown: {name, fields}

/* ---- The server ------------------------------------------------------------------------------ */

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(method, path, body) {
  const headers = {};
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  if (answer.ok) return text;
  let why = `${answer.status} ${answer.statusText}`;
  try {
    why = JSON.parse(text).error.message;
  } catch { /* it was not the server who answered */ }
  throw new Refusal(answer.status, why);
}

const askJson = async (...request) => JSON.parse(await ask(...request));
const pathOf = (name) => `/v1/collections/${encodeURIComponent(name)}`;

function state(text, kind) {
  at("state").textContent = text;
  at("state").className = `state ${kind}`;
}

function refused(error) {
  if (error.status === 401) {
    at("key-form").hidden = false;
    state("a key or token is needed", "bad");
  } else {
    state(error.status ? error.message : "no answer", "bad");
  }
}

/* ---- What is written ------------------------------------------------------------------------- */

const whole = new Intl.NumberFormat("en");

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${i && n < 100 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

function seconds(s) {
  if (!Number.isFinite(s)) return "–";
  if (s < 0.001) return `${Math.round(s * 1e6)} µs`;
  return s < 1 ? `${(s * 1000).toFixed(s < 0.01 ? 2 : 1)} ms` : `${s.toFixed(2)} s`;
}

/* The same without what follows from the other ticks. */
function tick(s) {
  return s === 0 ? "0" : s < 0.001 ? `${s * 1e6} µs` : s < 1 ? `${Number((s * 1000).toPrecision(3))} ms` : `${s} s`;
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/* ---- Live ------------------------------------------------------------------------------------ */

/* The samples of a page of Prometheus's text whose names begin so: [[name with labels, value]]. */
function samples(page, begin) {
  return page.split("\n").filter((line) => line.startsWith(begin)).map((line) => {
    const space = line.lastIndexOf(" ");
    return [line.slice(0, space), Number(line.slice(space + 1))];
  });
}

/* How many searches took no longer than each bound: [[bound, count]]. */
function latencies(page) {
  return samples(page, "search_latency_seconds_bucket{").map(([name, count]) => {
    const bound = /le="([^"]+)"/.exec(name)[1];
    return [bound === "+Inf" ? Infinity : Number(bound), count];
  });
}

/* As Prometheus's histogram_quantile: evenly within a bucket. */
function quantile(share, counts) {
  const total = counts[counts.length - 1][1];
  if (!total) return NaN;
  const rank = share * total;
  const i = counts.findIndex(([, count]) => count >= rank);
  const [low, below] = i ? counts[i - 1] : [0, 0];
  const [high, upTo] = counts[i];
  return high === Infinity ? low : low + (high - low) * (rank - below) / (upTo - below);
}

const live = { before: null, when: 0, points: [] };

/* A value's height on the chart. */
const height = (v, top) => (178 - 174 * v / top).toFixed(1);

function curve(values, top) {
  const span = Math.max(values.length, POINTS / 5) - 1;
  let path = "", pen = "M";
  values.forEach((v, i) => {
    if (!Number.isFinite(v)) {
      pen = "M"; // nobody searched: a gap
      return;
    }
    path += `${pen}${(800 * (1 - (values.length - 1 - i) / span)).toFixed(1)} ${height(v, top)}`;
    pen = "L";
  });
  return path;
}

function draw() {
  const of = (name) => live.points.map((p) => p[name]);
  const all = of("p99").filter(Number.isFinite);
  const steps = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];
  const top = steps.find((s) => s >= Math.max(...all, 0)) ?? 10;
  const svg = [];
  const shape = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [k, v] of Object.entries(attributes)) made.setAttribute(k, v);
    svg.push(made);
  };
  const parts = [1, 0.75, 0.5, 0.25, 0];
  for (const y of parts.map((part) => height(part, 1)))
    shape("line", { class: "grid", x1: 0, x2: 800, y1: y, y2: y });
  for (const name of ["p50", "p95", "p99"])
    shape("path", { class: `curve ${name}`, d: curve(of(name), top) });
  at("chart").replaceChildren(...svg);
  at("axis").replaceChildren(...parts.map((part) => element("li", "", all.length ? tick(part * top) : "")));
  if (!all.length) {
    at("chart-note").textContent = "Searches show here as they come.";
    return;
  }
  const past = Math.max(live.points.length, POINTS / 5) * EVERY / 1000;
  const ago = past < 120 ? `${Math.round(past)} seconds ago` : `${Math.round(past / 60)} minutes ago`;
  at("chart-note").replaceChildren(element("span", "", ago), element("span", "", "now"));
}

/* Between two looks: what was added to each bucket. */
function look(page) {
  const now = performance.now(), counts = latencies(page);
  if (live.before && counts.length) {
    const added = counts.map(([bound, count], i) => [bound, count - live.before[i][1]]);
    const point = { rate: added[added.length - 1][1] * 1000 / (now - live.when) };
    for (const [name, share] of [["p50", 0.5], ["p95", 0.95], ["p99", 0.99]])
      point[name] = quantile(share, added);
    live.points.push(point);
    live.points.splice(0, live.points.length - POINTS);
    at("live-rate").textContent = point.rate < 10 ? point.rate.toFixed(1) : whole.format(Math.round(point.rate));
    for (const name of ["p50", "p95", "p99"]) at(`live-${name}`).textContent = seconds(point[name]);
    draw();
  }
  live.before = counts;
  live.when = now;
  const memory = samples(page, "process_resident_memory_bytes ");
  if (memory.length) at("live-memory").textContent = bytes(memory[0][1]);
}

async function refresh() {
  try {
    look(await ask("GET", "/metrics"));
    state("connected", "good");
  } catch (error) {
    if (error.status === 403) {
      state("connected", "good");
      at("chart-note").textContent = "This key may not see metrics: that takes the role monitor.";
    } else {
      refused(error);
    }
  }
  setTimeout(refresh, EVERY);
}

/* ---- Collections ----------------------------------------------------------------------------- */

async function listCollections() {
  const names = (await askJson("GET", "/v1/collections")).collections;
  at("no-collections").hidden = names.length > 0;
  at("collections").replaceChildren(...names.map((name) => {
    const item = element("li"), button = element("button");
    const count = element("span", "count");
    button.type = "button";
    button.dataset.name = name;
    button.append(element("span", "name", name), count);
    button.addEventListener("click", () => choose(name));
    item.append(button);
    askJson("GET", `${pathOf(name)}/stats`)
      .then((s) => { count.textContent = whole.format(s.rows); })
      .catch(() => {}); // it was dropped, or may not be seen: there is no number then
    return item;
  }));
  if (names.length) await choose(names[0]);
}

function fieldNotes(f) {
  const notes = [];
  if (f.primary_key) notes.push("key");
  if (f.dim) notes.push(`${whole.format(f.dim)} dimensions`);
  if (f.metric) notes.push(f.metric.toLowerCase());
  if (f.max_length) notes.push(`up to ${whole.format(f.max_length)} bytes`);
  if (f.element_type) notes.push(`of ${f.element_type}`);
  if (f.nullable) notes.push("nullable");
  return notes.join(", ");
}

const isVector = (f) => f.type.endsWith("VECTOR");

async function choose(name) {
  try {
    const [schema, s] = await Promise.all([
      askJson("GET", pathOf(name)), askJson("GET", `${pathOf(name)}/stats`)]);
    chosen = schema;
    for (const button of document.querySelectorAll("nav button"))
      button.toggleAttribute("aria-current", button.dataset.name === name);
    at("collection-title").textContent = name;
    at("collection-about").textContent = schema.description ?? "";
    at("stat-rows").textContent = whole.format(s.rows);
    /* Before a cluster, and for a tenant, rows are all that is told. */
    const told = !s.rows || s.segments_sealed + s.segments_growing > 0;
    for (const tile of document.querySelectorAll("#collection .tiles > :not(:first-child)")) tile.hidden = !told;
    at("stat-segments").textContent = s.segments_sealed + s.segments_growing;
    at("stat-indexed").textContent = s.segments_indexed ? `${s.segments_indexed} indexed` : "none indexed";
    at("stat-growing").textContent = bytes(s.bytes_memory);
    at("stat-files").textContent = bytes(s.bytes_files);
    at("stat-index").textContent = bytes(s.bytes_index);
    at("stat-jobs").textContent = whole.format(s.jobs_pending);
    at("fields").replaceChildren(...schema.fields.map((f) => {
      const row = element("tr");
      row.append(element("td", "mono", f.name), element("td", "mono", f.type), element("td", "", fieldNotes(f)));
      return row;
    }));
    at("vector-field").replaceChildren(...schema.fields.filter(isVector).map((f) => {
      const option = element("option", "", f.name);
      option.value = f.name;
      return option;
    }));
    at("collection").hidden = at("search").hidden = false;
    at("results").hidden = at("search-error").hidden = true;
  } catch (error) {
    refused(error);
  }
}

/* ---- Searching ------------------------------------------------------------------------------- */

/* The question of a search: a vector, that of a row, or text. */
async function question(text, field) {
  if (text.startsWith("[") || text.startsWith("{")) return { vector: JSON.parse(text) };
  if (!text.startsWith("=")) return { query: text };
  const row = await askJson("GET", `${pathOf(chosen.name)}/rows/${encodeURIComponent(text.slice(1))}`);
  return { vector: row[field] };
}

/* A value as text; one of single precision in as many digits as it has. */
function show(value, type) {
  if (type === "FLOAT" && typeof value === "number") return String(Number(value.toPrecision(7)));
  if (Array.isArray(value) && value.every((v) => typeof v === "string")) return value.join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}

function hit(h, rank, best, worst) {
  const item = element("li"), values = element("dl", "values"), score = element("div", "score");
  const bar = element("span", "bar"), fill = element("i");
  const spread = best === worst ? 1 : 0.08 + 0.92 * (h.score - worst) / (best - worst);
  fill.style.width = `${(100 * spread).toFixed(1)}%`;
  bar.setAttribute("aria-hidden", "true");
  bar.append(fill);
  score.append(element("span", "", h.score.toPrecision(5)), bar);
  for (const [name, value] of Object.entries(h.fields ?? {})) {
    const type = chosen.fields.find((f) => f.name === name)?.type;
    const text = show(value, type);
    if (!text) continue;
    const pair = element("div", text.length > LONG ? "long" : "");
    pair.append(element("dt", "", name), element("dd", "", text));
    values.append(pair);
  }
  item.append(element("span", "rank", rank), element("span", "key-of", show(h.id)), score, values);
  return item;
}

/* The plan as text; before a cluster there is none. */
async function planOf(request) {
  try {
    return (await askJson("POST", `${pathOf(chosen.name)}/explain`, request)).plan;
  } catch (error) {
    if (error.status !== 501) throw error;
    return "";
  }
}

async function search(event) {
  event.preventDefault();
  const field = at("vector-field").value;
  at("search-error").hidden = true;
  try {
    const request = await question(at("query").value.trim(), field);
    request.field = field;
    request.top_k = Number(at("top-k").value);
    request.exact = at("exact").checked;
    if (at("filter").value.trim()) request.filter = at("filter").value;
    const plain = chosen.fields.filter((f) => !isVector(f) && !f.primary_key).map((f) => f.name);
    const began = performance.now();
    const found = await askJson("POST", `${pathOf(chosen.name)}/search`, { ...request, fields: plain });
    const took = (performance.now() - began) / 1000;
    const plan = await planOf(request);
    const { hits, info } = found;
    const best = hits[0]?.score, worst = hits[hits.length - 1]?.score;
    at("hits").replaceChildren(...hits.map((h, i) => hit(h, i + 1, best, worst)));
    /* Whoever is bound to a tenant is not told how the search went. */
    const among = info.segments ? `of ${whole.format(info.rows_allowed)} rows that may be found` : "rows";
    const how = !info.segments ? "" : `; ${whole.format(info.distances)} vectors compared in ` +
      `${info.segments} ${info.segments === 1 ? "segment" : "segments"}`;
    at("search-info").textContent = `${hits.length} ${among}, in ` +
      `${seconds(info.elapsed_us / 1e6)} (${seconds(took)} with the way here)${how}`;
    at("plan").textContent = plan;
    at("plan-box").hidden = !plan;
    at("results").hidden = false;
  } catch (error) {
    at("search-error").textContent =
      error instanceof SyntaxError ? "That is no vector: [0.1, 0.2] is one." : error.message;
    at("search-error").hidden = false;
    at("results").hidden = true;
  }
}

/* ---- The page -------------------------------------------------------------------------------- */

function theme(name) {
  document.documentElement.dataset.theme = name;
  at("theme").textContent = name === "dark" ? "☀" : "☾";
}

async function begin() {
  try {
    const about = await askJson("GET", "/v1/version");
    at("version").textContent = `${about.version}, ${about.kernels}`;
    at("key-form").hidden = true;
    await listCollections();
  } catch (error) {
    refused(error);
  }
}

const dark = matchMedia("(prefers-color-scheme: dark)");
theme(dark.matches ? "dark" : "light");
dark.addEventListener("change", () => theme(dark.matches ? "dark" : "light"));
at("theme").addEventListener("click", () =>
  theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
at("search-form").addEventListener("submit", search);
at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = at("key").value.trim();
  at("key").value = "";
  begin();
});
draw();
begin();
refresh();
