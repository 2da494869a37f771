// Numbers and times as people say them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (number) => whole.format(number);

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}%`;

/** A number with as many digits as matter. */
export function figure(number, digits = 3) {
  if (number === null || number === undefined) return "–";
  if (number === 0) return "0";
  const size = Math.abs(number);
  if (size >= 10 ** digits) return whole.format(number);
  return String(Number(number.toPrecision(digits)));
}

/** A difference, with its sign. */
export const signed = (number, digits = 2) => (number < 0 ? "−" : "+") + figure(Math.abs(number), digits);

/** A measured number with its standard error, both to the error's second digit. */
export function measured(number, error) {
  if (!error) return signed(number);
  const digits = Math.min(Math.max(0, 1 - Math.floor(Math.log10(error))), 12);
  return `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(digits)} ± ${error.toFixed(digits)}`;
}

export function duration(seconds) {
  if (seconds === 0) return "0 s";
  if (seconds < 0.1) return `${Math.round(1000 * seconds)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export function ago(seconds) {
  if (seconds < 1.5) return "just now";
  return seconds < 90 ? `${Math.round(seconds)} s ago` : `${duration(seconds)} ago`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minutes = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const days = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const exact = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });

export const timeOfDay = (ms) => clock.format(ms);
export const hourAndMinute = (ms) => minutes.format(ms);
export const day = (ms) => days.format(ms);
export const exactly = (ms) => exact.format(ms);

export const HANDS = { promoted: "promoted", pinned: "pinned", unpinned: "unpinned", failed: "failed" };

export const REFUSALS = {
  too_large: "too large", tombstone: "empty (tombstone)", not_utf8: "not UTF-8", not_json: "not JSON",
  not_object: "not an object", missing_feature: "a feature is missing", unknown_feature: "a feature is unknown",
  wrong_type: "wrong type", not_finite: "not a finite number", missing_label: "no label",
  unknown_label: "unknown label", bad_timestamp: "bad timestamp",
};

/** Words as a sentence begins. */
export const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1);

/** A word of the service's own, as in `new_events`, for people. */
export const plain = (word) => word.replaceAll("_", " ");
