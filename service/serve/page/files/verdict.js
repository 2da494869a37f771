// The answer at the top: is the model current, and is it better than doing nothing?

import { since } from "./clock.js";
import { compared, overall, scale } from "./scores.js";
import { count, duration, plural } from "./words.js";

const BEHIND_SECONDS = 30; // a lag that takes longer to read than this is worth a word

/** Return { tone, chip, answer, because, notes }: answer and because are parts of sentences, text and { tag: text }. */
export function verdict(data) {
  const found = compared(data);
  const state = standing(data, found);
  const { tone, chip, current } = state;
  return {
    tone,
    chip,
    answer: [current, ...comparison(data, state, found), "."],
    because: [...why(data, found), ...freshness(data)],
    notes: notes(data),
  };
}

/** Whether the trainer has been silent for longer than it should. */
export const silent = (data) => data.heard_at !== null && since(data.heard_at) > data.stale_after_seconds;

function standing(data, found) {
  const { trainer, serving, pinned } = data;
  if (!serving && data.latest) return { tone: "bad", chip: "Not serving", current: "No model can be served" };
  if (!serving) return { tone: "plain", chip: "No model yet", current: "There is no model yet" };
  if (data.trouble) return { tone: "bad", chip: "Cannot follow", current: "Not the model that should serve" };
  if (!trainer) return { tone: "warn", chip: "No trainer", current: "Serving, but nothing is learning" };
  if (silent(data)) return { tone: "bad", chip: "Trainer silent", current: "No longer kept current" };
  if (pinned) return { tone: "warn", chip: "Pinned", current: "Held by hand" };
  if (trainer.problem) {
    const paused = trainer.state === "paused";
    return { tone: "bad", chip: paused ? "Training paused" : "Trainer waits", current: "Not kept current for now" };
  }
  if (behind(trainer)) return { tone: "warn", chip: "Catching up", current: "Catching up" };
  if (trainer.suspicion && trainer.suspicion !== "clear") {
    return { tone: "warn", chip: "On trial", current: "Wary of what arrives" };
  }
  if (found?.sign < 0) return { tone: "warn", chip: "Worse", current: "Current" };
  return { tone: "good", chip: "Current", current: "Current" };
}

export const lagOf = (trainer) => Object.values(trainer?.lag ?? {}).reduce((sum, events) => sum + events, 0);

/** Whether what waits to be read takes long to read at the present rate. */
export function behind(trainer) {
  const lag = lagOf(trainer);
  return lag > 0 && lag > BEHIND_SECONDS * Math.max(trainer.events_per_second ?? 0, 1);
}

/** How it compares with doing nothing, joined to whether it is current. */
function comparison(data, state, found) {
  if (found === null) return data.serving && data.trainer ? [", and not yet compared with anything"] : [];
  const said = better(data.task, found);
  if (data.pinned) return ["; the champion is ", ...said];
  const contrast = state.current === "Current" ? found.sign < 0 : found.sign > 0;
  return [contrast ? ", but " : ", and ", ...said];
}

function better(task, found) {
  if (found.same) return ["still the first model"];
  if (found.sign === 0) return ["level with doing nothing"];
  const tag = found.sign > 0 ? "em" : "mark";
  if (task === "regression") {
    return [{ [tag]: `${found.size} ${found.sign > 0 ? "less" : "more"} error` }, " than doing nothing"];
  }
  return [{ [tag]: `${found.size} points ${found.sign > 0 ? "better" : "worse"}` }, " than doing nothing"];
}

function why(data, found) {
  if (found === null) return [];
  const { show } = scale(data.task);
  const all = overall(data);
  const said = (error) => ({ b: data.task === "regression" ? `off by ${show(error)}` : `right on ${show(error)}` });
  const newest = `the newest ${plural(found.events, "event")}`;
  const first = found.same
    ? ["The champion is ", said(found.champion), data.task === "regression" ? ` on average over ${newest}.` : ` of ${newest}.`]
    : data.task === "regression"
      ? ["The champion is ", said(found.champion), ` on average over ${newest}, the frozen model `, said(found.frozen), "."]
      : ["The champion is ", said(found.champion), ` of ${newest}, the frozen model on `, { b: show(found.frozen) }, "."];
  if (all === null || found.same || all.events <= found.events) return [first];
  const both = [`Over all ${count(all.events)} events so far: `, { b: show(all.champion) }, " against ", { b: show(all.frozen) }, "."];
  return [[...first, " ", ...both]];
}

function freshness(data) {
  const { serving, trainer } = data;
  if (!serving) return firstRound(trainer);
  const line = [{ id: serving.id }, " was published ", { at: serving.created_at }];
  if (serving.trained_until) line.push(", having learnt from events up to ", { at: serving.trained_until });
  line.push(".");
  const waited = trainer && !silent(data) ? trainer.trigger?.unserved_seconds : null;
  if (waited > 0) line.push(` The oldest event it does not know yet has waited ${duration(waited)}.`);
  else if (waited === 0) line.push(" It knows every event that came.");
  return [line];
}

function firstRound(trainer) {
  if (!trainer) return [["No trainer has written to this store. Start one with ", { code: "freshet train" }, ", or make a model from history with ", { code: "freshet pretrain" }, "."]];
  const wanted = trainer.trigger?.enough_events;
  const line = `The first round makes it: ${count(trainer.new_events ?? 0)}${wanted ? ` of ${count(wanted)}` : ""} events are there.`;
  return [[line]];
}

function notes(data) {
  const { trainer, pinned, serving } = data;
  const found = [];
  if (pinned) {
    const scored = trainer?.roles?.champion;
    const other = scored && scored !== serving?.id ? ` The scores are of ${scored}, which would serve otherwise.` : "";
    found.push(["warn", `${pinned.id} is pinned by ${pinned.by}: ${pinned.reason}. Learning goes on, and nothing it brings is served.${other}`]);
  }
  if (data.trouble && (serving || data.latest)) found.push(["bad", data.trouble]);
  if (silent(data)) found.push(["bad", "The trainer has written nothing for longer than it should: has it stopped? What follows is what it told last."]);
  else if (trainer?.problem) found.push(["bad", trainer.problem]);
  if (trainer?.suspicion && trainer.suspicion !== "clear") {
    found.push(["warn", "The champion does no better than guessing on what arrives: noise, or a new concept. Learning goes on, and nothing is published until it is known."]);
  }
  if (trainer && !silent(data) && behind(trainer)) {
    found.push(["warn", `${plural(lagOf(trainer), "record")} wait to be read.`]);
  }
  if (trainer?.trigger?.held) found.push(["warn", trainer.trigger.held]);
  return found;
}
