// The parts below the chart, each from the data of one answer.

import { when } from "./clock.js";
import { byId, el, fill, svg, text } from "./dom.js";
import { compared, judgedBy, overall, scale } from "./scores.js";
import { behind, lagOf, silent } from "./verdict.js";
import { HANDS, REFUSALS, count, duration, figure, measured, percent, plain, plural, sentence, signed } from "./words.js";

const SHOWN_ROUNDS = 5;
const SHOWN_FEATURES = 8;
const SHOWN_NOTICES = 3;
const SHOWN_PARTITIONS = 6;

export function tiles(data) {
  const found = compared(data);
  const all = overall(data);
  const { name, show } = scale(data.task);
  const trainer = data.trainer;
  const totals = trainer?.rounds ?? {};
  const lag = lagOf(trainer);
  const over = (error) => (data.task === "regression" ? `MAE; ${show(error)} over all` : `right; ${show(error)} over all`);
  const shown = [
    ["champion", "Champion", found ? show(found.champion) : "–", "", all ? over(all.champion) : name.toLowerCase()],
    ["frozen", "Frozen", found ? show(found.frozen) : "–", "", all ? over(all.frozen) : "never updated"],
    [null, "Not yet served", trainer?.trigger ? duration(trainer.trigger.unserved_seconds) : "–", "", "oldest event's age"],
    [null, "Arriving", trainer?.events_per_second === undefined ? "–" : figure(trainer.events_per_second), "/s", trainer ? `${count(trainer.events?.accepted ?? 0)} events so far` : "no trainer heard"],
    [null, "Waiting", trainer ? count(lag) : "–", "", !trainer ? "no trainer heard" : lag ? "records to be read" : "everything is read"],
    [null, "Promoted", trainer ? count(totals.promoted ?? 0) : "–", "", trainer ? `of ${plural(totals.started ?? 0, "round")}` : "no trainer heard"],
  ];
  fill(byId("tiles"), shown, () =>
    shown.map(([role, label, value, unit, below]) =>
      el("div", { class: "tile" },
        el("dt", {}, role && el("i", { class: `swatch ${role}`, "aria-hidden": "true" }), label),
        el("dd", { class: "figure" }, value, value !== "–" && unit && el("small", {}, unit)),
        el("dd", { class: "of" }, below))));
}

export function rounds(data) {
  const totals = data.trainer?.rounds;
  const trigger = data.trainer?.trigger;
  const under = data.trainer?.round;
  const told = [];
  if (totals) told.push(ended(totals, under));
  if (under) told.push(`round ${under.number} is ${under.stage === "training" ? "in training" : "being published"}`);
  else if (trigger?.enough_events) told.push(`next at ${count(trigger.enough_events)} new events, ${count(data.trainer.new_events ?? 0)} are there`);
  if (trigger?.spacing > 1) told.push(`${figure(trigger.spacing)} times wider apart than usual, since those before brought nothing`);
  text(byId("rounds-note"), told.length ? `${told.join("; ")}.` : "");
  const [newest, older] = [data.rounds.slice(0, SHOWN_ROUNDS), data.rounds.slice(SHOWN_ROUNDS)];
  fill(byId("rounds"), [newest, data.task], () => (newest.length ? newest.map((one) => round(one, data.task)) : el("li", {}, el("span", { class: "why" }, "No round has ended yet."))));
  fold(byId("more-rounds"), older, data.task, `${plural(older.length, "older round")}`, (one) => round(one, data.task));
}

/** How many rounds ended how; the rest are those that are counted as nothing, so that it all adds up. */
function ended(totals, under) {
  const counted = ["promoted", "rejected", "rolled_back", "failed"].map((how) => [how, totals[how] ?? 0]);
  const words = counted.filter(([how, number]) => number || how === "promoted").map(([how, number]) => `${count(number)} ${plain(how)}`);
  const rest = counted.reduce((left, [, number]) => left - number, (totals.started ?? 0) - (under ? 1 : 0));
  if (rest > 0) words.push(`${count(rest)} ${rest === 1 ? "other" : "others"} (first model, withheld or cut off)`);
  return words.join(", ");
}

function round(one, task) {
  const numbers = one.checkpoint ? [el("span", { class: "id" }, one.checkpoint)] : [];
  const { evidence } = one;
  if (evidence && evidence.difference !== null) {
    const { name, unit } = judgedBy(task);
    numbers.push(`${name} ${measured(evidence.difference, evidence.standard_error)}${unit} against the serving model's (below 0 is better), on ${plural(evidence.events, evidence.slice === "forward" ? "arriving event" : "held-out event")}`);
  }
  if (one.training_seconds !== null) numbers.push(`trained in ${duration(one.training_seconds)}`);
  if (one.trigger) numbers.push(`for ${one.trigger_detail ?? plain(one.trigger)}`);
  return el("li", {},
    el("span", { class: `badge ${one.outcome}` }, plain(one.outcome)),
    el("span", { class: "name" }, one.round === null ? "" : `Round ${one.round}`),
    one.at ? when(one.at) : el("span"),
    el("p", { class: "why" }, sentence(one.meaning ?? plain(one.reason))),
    numbers.length ? el("p", { class: "numbers" }, numbers.flatMap((part, index) => (index ? [" · ", part] : [part]))) : null);
}

export function drift(data) {
  const told = data.drift;
  const bound = told?.worth_an_alarm ?? null;
  text(byId("drift-note"), told ? `Newest events against the champion's training data: stability index in nats${bound ? `, worth an alarm from ${figure(bound)}` : ""}.` : "The trainer has not told yet.");
  byId("drift").hidden = !told;
  const features = told?.features ?? [];
  const top = Math.max(2.5 * (bound ?? 0.1), ...features.map((one) => one.psi ?? 0), told?.prediction ?? 0);
  const most = features.length <= SHOWN_FEATURES + 2 ? features.length : SHOWN_FEATURES; // two more are no longer than a fold
  const [shown, folded] = [features.slice(0, most), features.slice(most)];
  const bar = (one) => feature(one, top, bound);
  fill(byId("features"), [shown, top, bound], () => (shown.length ? shown.map(bar) : el("li", {}, el("span", { class: "note" }, "Too few events have come to compare."))));
  const rest = (told?.count ?? 0) - shown.length;
  fold(byId("more-features"), folded, [top, bound], `${plural(rest, "more feature")}, less drifted`, bar);
  const model = [];
  if (told?.prediction !== null && told?.prediction !== undefined) model.push({ feature: "Predictions", psi: told.prediction, missing: null, unseen: null });
  fill(byId("model-drift"), [model, told?.concept, top, bound], () => [
    ...model.map(bar),
    el("li", {}, el("span", { class: "name", title: "how far the champion's error has risen, in standard deviations of one error" }, "The champion's error"), el("span", { class: "value" }, told?.concept === null || told?.concept === undefined ? "steady" : `${signed(told.concept)} σ`)),
  ]);
  alarms(data);
}

function feature({ feature: name, psi, missing, unseen }, top, bound) {
  const over = bound !== null && psi !== null && psi >= bound;
  const more = [missing ? `${percent(missing)} missing` : "", unseen ? `${percent(unseen)} unseen` : ""].filter(Boolean);
  const share = psi === null ? 0 : Math.max(psi / top, 0.004);
  return el("li", { class: over ? "over" : null },
    el("span", { class: "name", title: name }, name),
    el("span", { class: "value" }, [psi === null ? "–" : psi.toFixed(3), ...more].join(" · ")),
    svg("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { class: "track", width: 100, height: 6 }),
      svg("rect", { class: "fill", width: (100 * share).toFixed(2), height: 6 }),
      bound !== null && svg("rect", { class: "bound", x: ((100 * bound) / top).toFixed(2), width: 0.4, height: 6 })));
}

function alarms(data) {
  const totals = Object.entries(data.drift?.alarms ?? {});
  const sum = totals.reduce((all, [, number]) => all + number, 0);
  const kinds = totals.filter(([, number]) => number).map(([kind, number]) => `${count(number)} ${kind}`).join(", ");
  text(byId("alarms-note"), !data.drift ? "" : sum ? `${plural(sum, "alarm")} so far: ${kinds}.` : "None has been raised so far.");
  const newest = data.notices.slice(0, SHOWN_NOTICES);
  fill(byId("alarms"), newest, () =>
    newest.map((one) =>
      el("li", {}, el("span", {}, one.feature && el("b", {}, `${one.feature}: `), sentence(one.meaning ?? plain(one.kind))),
        el("span", { class: "note" }, `${one.kind === "suspicion" ? one.kind : `${one.kind} drift`}, `, when(one.at)))));
}

/** Put items behind a summary that unfolds them; nothing at all without any. */
function fold(place, items, also, words, build) {
  place.hidden = items.length === 0;
  text(place.firstElementChild, words);
  fill(place.lastElementChild, [items, also], () => items.map(build));
}

/** Fill a list of facts: [name, value or node, tone, class]. */
function facts(id, rows) {
  const kept = rows.filter(Boolean);
  fill(byId(id), kept.map(([name, value, ...rest]) => [name?.outerHTML ?? name, value?.outerHTML ?? value, ...rest]), () =>
    kept.flatMap(([name, value, tone, kind]) => [el("dt", { class: kind ?? null }, name), el("dd", { "data-tone": tone ?? null }, value)]));
}

const at = (time, otherwise = "–") => (time ? when(time) : otherwise);

export function stream(data) {
  const trainer = data.trainer;
  if (!trainer) return facts("stream", [["Trainer", "none has written yet"]]);
  const lag = lagOf(trainer);
  const accepted = trainer.events?.accepted ?? 0;
  const refused = trainer.events?.refused ?? 0;
  const partitions = Object.entries(trainer.lag ?? {}).sort(([, a], [, b]) => b - a);
  const reasons = Object.entries(trainer.refused ?? {}).sort(([, a], [, b]) => b - a);
  const told = reasons.reduce((sum, [, events]) => sum + events, 0);
  return facts("stream", [
    ["Topic", trainer.topic ?? "–"],
    trainer.events_per_second !== undefined && ["Arriving", `${figure(trainer.events_per_second)} records/s`],
    ["Last record", at(trainer.arrived_at, accepted + refused ? "none since the start" : "none yet")],
    ["Waiting", lag ? plural(lag, "record") : "none", behind(trainer) ? "warn" : null],
    ...(partitions.length > 1 ? partitions.slice(0, SHOWN_PARTITIONS).map(([name, events]) => [name, count(events), null, "under"]) : []),
    partitions.length > SHOWN_PARTITIONS && [`${count(partitions.length - SHOWN_PARTITIONS)} more`, "no more than those", null, "under"],
    ["Accepted", plural(accepted, "event")],
    ["Dead letters", refused ? `${count(refused)} (${percent(refused / (accepted + refused), 2)})` : "none"],
    told !== refused && trainer.started_at && [el("span", {}, "since the start, ", when(trainer.started_at)), told ? count(told) : "none", null, "under"],
    ...reasons.map(([reason, events]) => [REFUSALS[reason] ?? plain(reason), count(events), null, "under"]),
    trainer.events?.evicted_unlearnt ? ["Left unlearnt", plural(trainer.events.evicted_unlearnt, "event")] : null,
  ]);
}

export function health(data) {
  const trainer = data.trainer;
  if (!trainer) return facts("health", [["State", "none has written yet"]]);
  const quiet = silent(data);
  const restarts = Object.entries(trainer.worker?.restarts ?? {}).filter(([, number]) => number);
  const states = { learning: "learning", paused: "training is paused", waiting: "waiting" };
  return facts("health", [
    ["State", quiet ? "silent" : states[trainer.state] ?? trainer.state, quiet ? "bad" : trainer.problem ? "warn" : null],
    ["Heard", at(data.heard_at), quiet ? "bad" : null],
    trainer.started_at && ["Started", at(trainer.started_at)],
    trainer.read_at && ["Source answered", at(trainer.read_at)],
    trainer.worker && ["Training worker", trainer.worker.ready ? "ready" : "starting", trainer.worker.ready ? null : "warn"],
    trainer.worker && ["Worker restarts", `${restarts.length ? restarts.map(([cause, number]) => `${count(number)} (${cause})`).join(", ") : "none"} since the start`, restarts.length ? "warn" : null],
    trainer.trigger?.round_seconds > 0 && ["A round takes", duration(trainer.trigger.round_seconds)],
    trainer.trigger?.budget_balance_seconds !== null && trainer.trigger?.budget_balance_seconds !== undefined && ["Budget left", `${signed(trainer.trigger.budget_balance_seconds)} s of a core`],
    trainer.saved_at && ["State saved", at(trainer.saved_at)],
    trainer.held && ["Window", plural(trainer.held.window, "event")],
    trainer.held && ["Replay memory", plural(trainer.held.replay, "event")],
    trainer.held && ["Held out", plural(trainer.held.heldout, "event")],
  ]);
}

export function serving(data) {
  const { serving: served, latest, pinned } = data;
  const id = (name) => el("span", { class: "id" }, name);
  facts("serving", [
    ["Checkpoint", served ? id(served.id) : "none yet"],
    served && ["Published", when(served.created_at)],
    served && ["Taken up here", when(served.since)],
    served?.trained_until && ["Newest event learnt", when(served.trained_until)],
    latest && latest.id !== served?.id && ["Latest", id(latest.id)],
    ["Pinned", pinned ? `by ${pinned.by}` : "no", pinned ? "warn" : null],
  ]);
  fill(byId("acts"), data.by_hand, () => (data.by_hand.length ? data.by_hand.map(act) : el("li", { class: "note" }, "Nobody has promoted or pinned anything.")));
}

function act(one) {
  const name = HANDS[one.event] ?? plain(one.event);
  return el("li", {},
    el("span", {}, `${name} `, one.checkpoint && el("span", { class: "id" }, one.checkpoint)),
    el("span", { class: "note" }, one.by ? `${one.by}, ` : "", one.at ? when(one.at) : "", one.reason ? `: ${one.reason}` : ""));
}
