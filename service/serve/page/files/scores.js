// What an error means to people: accuracy where labels are predicted, mean absolute error where values are.

import { figure, percent } from "./words.js";

const EVIDENT = 2; // standard errors
const LEAST_RELATIVE = 0.01; // of an error whose spread nobody tells

/** The words and the arithmetic of a task. */
export function scale(task) {
  return task === "regression"
    ? { name: "Mean absolute error", short: "MAE", of: (error) => error, show: (error) => figure(error) }
    : { name: "Accuracy", short: "right", of: (error) => 1 - error, show: (error) => percent(1 - error) };
}

/** Champion and frozen model over the newest events, null while there is nothing to compare. */
export function compared(data) {
  const trainer = data.trainer ?? {};
  const [champion, frozen] = ["champion", "frozen"].map((role) => trainer.prequential?.[role]?.error ?? null);
  if (champion === null || frozen === null) return null;
  const events = trainer.prequential_events ?? 0;
  const same = trainer.roles?.champion !== undefined && trainer.roles.champion === trainer.roles.frozen;
  return { champion, frozen, events, same, ...judged(data.task, champion, frozen, events) };
}

/** Both over all events so far, null without any. */
export function overall(data) {
  const [champion, frozen] = ["champion", "frozen"].map((role) => data.trainer?.prequential_totals?.[role]);
  if (!champion?.events || !frozen?.events) return null;
  const [one, other] = [champion, frozen].map((total) => total.error_sum / total.events);
  return { champion: one, frozen: other, events: champion.events };
}

/** Whether the difference is more than chance would make of two equal models, and how large it is in words. */
function judged(task, champion, frozen, events) {
  const gain = frozen - champion;
  if (task === "regression") {
    const relative = frozen > 0 ? gain / frozen : 0;
    return { sign: Math.abs(relative) < LEAST_RELATIVE ? 0 : Math.sign(gain), size: percent(Math.abs(relative)) };
  }
  const spread = (error) => (error * (1 - error)) / Math.max(events, 1);
  const chance = EVIDENT * Math.sqrt(spread(champion) + spread(frozen));
  return { sign: Math.abs(gain) <= chance ? 0 : Math.sign(gain), size: (100 * Math.abs(gain)).toFixed(1) };
}

/** By what rounds are judged: its name and its unit, which of a regression is the label's own. */
export const judgedBy = (task) => (task === "regression" ? { name: "error", unit: "" } : { name: "loss", unit: " nats" });
