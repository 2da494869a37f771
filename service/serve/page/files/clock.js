// The server's clock, and times that stay true while one looks at them.

import { el, text } from "./dom.js";
import { ago, exactly } from "./words.js";

const HARMLESS_MS = 2000; // what a header that tells whole seconds, and the way here, can make of two equal clocks

let offsetMs = 0;

/** Go by the server's clock, as its answer's Date header tells it, if this device's is another. */
export function setBy(date) {
  const told = Date.parse(date ?? "");
  if (Number.isNaN(told)) return;
  const found = told + 500 - Date.now();
  offsetMs = Math.abs(found) < HARMLESS_MS ? 0 : found;
}

export const now = () => Date.now() + offsetMs;

/** How many seconds ago something was; null stays null. */
export const since = (at) => (at ? Math.max(0, (now() - Date.parse(at)) / 1000) : null);

/** A time that says how long ago it was, and exactly when on demand. */
export function when(at) {
  return el("time", { datetime: at, title: exactly(Date.parse(at)) }, ago(since(at)));
}

/** Let every time on the page say how long ago it is by now. */
export function tick() {
  for (const one of document.querySelectorAll("time[datetime]")) text(one, ago(since(one.dateTime)));
}
