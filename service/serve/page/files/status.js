// Asks the server how things stand, every other second while anybody looks, and draws the answer.

import { Chart } from "./chart.js";
import { now, setBy, tick, when } from "./clock.js";
import { byId, el, fill, text } from "./dom.js";
import { scale } from "./scores.js";
import { drift, health, rounds, serving, stream, tiles } from "./sections.js";
import { verdict } from "./verdict.js";
import { ago, count, exactly, plural, sentence, timeOfDay } from "./words.js";

const POLL_MS = 2000;
const SLOWEST_POLL_MS = 15000;
const PATIENCE_MS = 8000;
const HOUR_SECONDS = 3600;

const chart = new Chart(byId("chart"));
let data = null;
let heardMs = null;
let failures = 0;
let timer = null;
let asking = false;
let range = null; // seconds; 0 is all; null until somebody chooses

async function ask() {
  clearTimeout(timer);
  if (asking || document.hidden) return;
  asking = true;
  try {
    const answer = await fetch("v1/overview", { cache: "no-cache", signal: AbortSignal.timeout(PATIENCE_MS) });
    setBy(answer.headers.get("date"));
    if (!answer.ok) throw new Error((await answer.json().catch(() => null))?.detail ?? `status ${answer.status}`);
    data = await answer.json();
    heardMs = now();
    failures = 0;
    draw();
  } catch (error) {
    failures += 1;
    silence(error);
  } finally {
    asking = false;
    timer = setTimeout(ask, Math.min(POLL_MS * 2 ** Math.max(failures - 1, 0), SLOWEST_POLL_MS));
  }
}

function draw() {
  byId("silence").hidden = true;
  answer();
  tiles(data);
  course();
  rounds(data);
  drift(data);
  stream(data);
  health(data);
  serving(data);
  text(byId("version"), `Freshet ${data.version}`);
  live();
}

function silence(error) {
  const place = byId("silence");
  const why = error.name === "TypeError" || error.name === "TimeoutError" ? "The server does not answer" : `The server answers: ${error.message}`;
  if (data) {
    byId("state").dataset.tone = "plain";
    text(byId("state-text"), `As of ${timeOfDay(heardMs)}`);
  }
  const old = heardMs === null ? "" : ` What is shown is of ${timeOfDay(heardMs)}.`;
  text(place, `${why}.${old} Asking again.`);
  place.hidden = false;
  live();
}

function live() {
  const seconds = heardMs === null ? null : (now() - heardMs) / 1000;
  byId("live").dataset.tone = failures ? "bad" : heardMs === null ? "plain" : "good";
  text(byId("live-text"), failures ? "no answer" : heardMs === null ? "asking" : "live");
  text(byId("live-more"), heardMs === null ? "" : failures ? ` since ${timeOfDay(heardMs)}` : `, updated ${seconds < 3 ? "just now" : ago(seconds)}`);
  if (heardMs !== null) byId("live").title = `updated ${exactly(heardMs)}`;
}

function answer() {
  const { tone, chip, answer: said, because, notes } = verdict(data);
  const kinds = { binary: "binary classification", multiclass: "classification", regression: "regression" };
  text(byId("model"), data.model_name);
  text(byId("task"), ` · ${kinds[data.task] ?? data.task}`);
  document.title = `${chip} · ${data.model_name} · Freshet`;
  byId("state").dataset.tone = tone;
  text(byId("state-text"), chip);
  fill(byId("headline"), said, () => phrase(said));
  fill(byId("because"), because, () => because.map((line) => el("p", {}, ...phrase(line))));
  byId("notes").hidden = notes.length === 0;
  fill(byId("notes"), notes, () => notes.map(([kind, words]) => el("li", { "data-tone": kind }, sentence(words))));
}

/** Turn the parts of a sentence into nodes. */
function phrase(parts) {
  return parts.map((part) => {
    if (typeof part === "string") return document.createTextNode(part);
    if (part.at) return when(part.at);
    if (part.id) return el("span", { class: "id" }, part.id);
    const [[tag, words]] = Object.entries(part);
    return el(tag, {}, words);
  });
}

function course() {
  const { scores } = data;
  const points = scores.at_ms.map((at, i) => ({
    at, events: scores.events[i], champion: scores.champion[i], frozen: scores.frozen[i], previous: scores.previous[i],
    promoted: scores.promoted[i], lag: scores.lag[i],
  }));
  const measure = scale(data.task);
  text(byId("course-title"), `${measure.name} over time`);
  const last = points.at(-1)?.at ?? 0;
  const span = points.length ? (last - points[0].at) / 1000 : 0;
  const chosen = range ?? (span > HOUR_SECONDS ? HOUR_SECONDS : 0);
  byId("ranges").hidden = span < 600;
  for (const input of document.querySelectorAll("input[name=range]")) {
    input.disabled = Number(input.value) >= span;
    input.checked = Number(input.value) === chosen;
  }
  const events = data.trainer?.prequential_events;
  const over = events ? `Mean over the newest ${plural(events, "event")}` : "Mean over the newest events";
  const direction = data.task === "regression" ? "; lower is better" : "";
  const made = points.length ? `${over}${direction}. Marks below: a new model took over, ${plural(points.at(-1).promoted, "time")} so far.` : "";
  text(byId("course-note"), made);
  chart.draw(points, measure, chosen ? last - 1000 * chosen : 0);
}

for (const input of document.querySelectorAll("input[name=range]")) {
  input.addEventListener("change", () => {
    range = Number(input.value);
    if (data) course();
  });
}
document.addEventListener("visibilitychange", ask);
setInterval(() => {
  tick();
  live();
}, 1000);
ask();
