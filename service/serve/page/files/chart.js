// Scores over time as SVG: champion and frozen model, what lies between them, and a mark where a new model took over.

import { el, svg, text } from "./dom.js";
import { count, day, duration, hourAndMinute, plural, timeOfDay } from "./words.js";

const STEPS_SECONDS = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000];
const ROLES = ["frozen", "champion"]; // drawn in this order

/** Draws into a figure, and follows its width. */
export class Chart {
  constructor(place) {
    this.place = place;
    this.image = svg("svg", { role: "img", tabindex: 0 });
    this.cursor = svg("g");
    this.tip = el("div", { class: "tip", hidden: "" });
    this.said = el("p", { class: "unseen", role: "status" });
    this.points = null;
    this.chosen = null;
    this.listen();
    new ResizeObserver(() => this.redraw()).observe(place);
  }

  /** Draw the points from a time on; `scale` says what an error means. */
  draw(points, scale, from) {
    this.points = points.filter((point) => point.at >= from && (point.champion !== null || point.frozen !== null));
    this.scale = scale;
    this.redraw();
  }

  redraw() {
    if (this.points === null) return;
    if (this.points.length < 2) {
      const words = this.points.length ? "One point so far; a line needs two." : "No event has been scored yet. The line begins with the first events that a model predicts.";
      this.place.replaceChildren(el("p", { class: "empty" }, words));
      return;
    }
    this.measure();
    this.image.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.image.setAttribute("height", this.height);
    this.image.setAttribute("aria-label", this.summary());
    const parts = [this.axes(), this.areas(), this.rug(), ROLES.map((role) => this.line(role)), this.ends(), this.cursor];
    this.image.replaceChildren(...parts.flat());
    // Not put in anew at each drawing: who reads it by keyboard would lose their place.
    if (this.image.parentNode !== this.place) this.place.replaceChildren(this.image, this.tip, this.said);
    this.show(this.chosen);
  }

  measure() {
    const { points, scale } = this;
    this.width = Math.max(this.place.clientWidth, 200);
    const narrow = this.width < 560;
    this.height = narrow ? 230 : 300;
    this.box = { left: 46, right: this.width - (narrow ? 8 : 124), top: narrow ? 34 : 12, bottom: this.height - 42 };
    this.narrow = narrow;
    this.first = points[0].at;
    this.last = points.at(-1).at;
    const values = points.flatMap((point) => ROLES.map((role) => point[role])).filter((value) => value !== null).map(scale.of);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const room = Math.max(0.08 * (high - low), scale.short === "MAE" ? 0.02 * Math.max(high, 1e-9) : 0.005);
    this.low = Math.max(low - room, 0);
    this.high = scale.short === "MAE" ? high + room : Math.min(high + room, 1);
  }

  x(at) {
    return this.box.left + ((at - this.first) / (this.last - this.first)) * (this.box.right - this.box.left);
  }

  y(error) {
    const share = (this.scale.of(error) - this.low) / (this.high - this.low);
    return this.box.bottom - share * (this.box.bottom - this.box.top);
  }

  axes() {
    const { left, right, bottom } = this.box;
    const parts = [];
    const step = niceStep((this.high - this.low) / 5);
    const shown = this.scale.short === "MAE" ? step : 100 * step;
    const digits = [0, 1, 2, 3, 4, 5].find((some) => Math.abs(shown * 10 ** some - Math.round(shown * 10 ** some)) < 1e-6) ?? 6;
    for (let value = Math.ceil(this.low / step) * step; value <= this.high + 1e-12; value += step) {
      const y = this.box.bottom - ((value - this.low) / (this.high - this.low)) * (this.box.bottom - this.box.top);
      const label = this.scale.short === "MAE" ? value.toFixed(digits) : `${(100 * value).toFixed(digits)}%`;
      parts.push(svg("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }));
      parts.push(svg("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, label));
    }
    const span = (this.last - this.first) / 1000;
    const tick = STEPS_SECONDS.find((seconds) => span / seconds <= (this.narrow ? 4 : 8)) ?? STEPS_SECONDS.at(-1);
    const zone = new Date(this.last).getTimezoneOffset() * 60;
    const begin = Math.ceil((this.first / 1000 - zone) / tick) * tick + zone;
    for (let at = begin; at <= this.last / 1000; at += tick) {
      const label = tick >= 86400 ? day(1000 * at) : tick >= 60 ? hourAndMinute(1000 * at) : timeOfDay(1000 * at);
      const x = this.x(1000 * at);
      if (x > right - (this.narrow ? 26 : 12)) continue; // a label there would run into the one before
      parts.push(svg("line", { class: "grid", x1: x, x2: x, y1: bottom + 14, y2: bottom + 19 }));
      parts.push(svg("text", { x: Math.min(Math.max(x, left + 14), right - 14), y: bottom + 34, "text-anchor": "middle" }, label));
    }
    return svg("g", { "aria-hidden": "true" }, parts);
  }

  /** What lies between the lines: what updating the model has bought, or cost. */
  areas() {
    const both = this.points.filter((point) => point.champion !== null && point.frozen !== null);
    const pieces = { gain: [], loss: [] };
    for (let i = 1; i < both.length; i += 1) {
      const [a, b] = [both[i - 1], both[i]];
      const [before, after] = [a.frozen - a.champion, b.frozen - b.champion];
      if (before * after >= 0) {
        const piece = this.quad(a, b);
        if (before + after !== 0) pieces[before + after > 0 ? "gain" : "loss"].push(piece);
      } else {
        const share = before / (before - after);
        const mix = (name) => a[name] + share * (b[name] - a[name]);
        const cross = { at: mix("at"), champion: mix("champion"), frozen: mix("champion") };
        pieces[before > 0 ? "gain" : "loss"].push(this.quad(a, cross));
        pieces[after > 0 ? "gain" : "loss"].push(this.quad(cross, b));
      }
    }
    return Object.entries(pieces).map(([kind, parts]) => svg("path", { class: kind, d: parts.join("") }));
  }

  quad(a, b) {
    const at = (point, role) => `${this.x(point.at).toFixed(1)} ${this.y(point[role]).toFixed(1)}`;
    return `M${at(a, "champion")}L${at(b, "champion")}L${at(b, "frozen")}L${at(a, "frozen")}Z`;
  }

  line(role) {
    let path = "";
    let pen = "M";
    for (const point of this.points) {
      if (point[role] === null) pen = "M";
      else {
        path += `${pen}${this.x(point.at).toFixed(1)} ${this.y(point[role]).toFixed(1)}`;
        pen = "L";
      }
    }
    return svg("path", { class: `line ${role}`, d: path });
  }

  /** A mark for every promotion; those that lie on one pixel are one mark. */
  rug() {
    const marks = [];
    let taken = -Infinity;
    for (let i = 1; i < this.points.length; i += 1) {
      const x = this.x(this.points[i].at);
      if (this.points[i].promoted > this.points[i - 1].promoted && x - taken >= 3) {
        marks.push(svg("line", { class: "rug", x1: x, x2: x, y1: this.box.bottom + 3, y2: this.box.bottom + 11 }));
        taken = x;
      }
    }
    return svg("g", { "aria-hidden": "true" }, marks);
  }

  /** The names of the lines at their ends; above them where it is narrow. */
  ends() {
    const newest = this.points.at(-1);
    const shown = ["champion", "frozen"].filter((role) => newest[role] !== null);
    if (this.narrow) {
      return shown.map((role, index) => svg("text", { class: `end ${role}`, x: this.box.left + index * 132, y: 14 }, `${role} ${this.scale.show(newest[role])}`));
    }
    let places = shown.map((role) => ({ role, y: this.y(newest[role]) })).sort((a, b) => a.y - b.y);
    if (places.length === 2 && places[1].y - places[0].y < 17) {
      const middle = (places[0].y + places[1].y) / 2;
      places = [{ ...places[0], y: middle - 8.5 }, { ...places[1], y: middle + 8.5 }];
    }
    return places.map(({ role, y }) => svg("text", { class: `end ${role}`, x: this.box.right + 9, y: Math.min(Math.max(y, this.box.top), this.box.bottom) + 4 }, `${role} ${this.scale.show(newest[role])}`));
  }

  summary() {
    const [first, newest] = [this.points[0], this.points.at(-1)];
    const told = (point) => ROLES.toReversed().filter((role) => point[role] !== null).map((role) => `${role} ${this.scale.show(point[role])}`).join(", ");
    const taken = plural(newest.promoted - first.promoted, "time");
    return `${this.scale.name} over ${duration((this.last - this.first) / 1000)}: at first ${told(first)}; now ${told(newest)}; a new model took over ${taken}. The arrow keys read single points.`;
  }

  listen() {
    this.image.addEventListener("pointermove", (event) => {
      const box = this.image.getBoundingClientRect();
      this.show(this.nearest(((event.clientX - box.left) / box.width) * this.width));
    });
    this.image.addEventListener("pointerleave", () => this.show(null));
    this.image.addEventListener("blur", () => this.show(null));
    this.image.addEventListener("keydown", (event) => {
      const last = this.points.length - 1;
      const at = this.points.findIndex((point) => point.at === this.chosen);
      const from = at < 0 ? last : at;
      const to = { ArrowLeft: from - 1, ArrowRight: from + 1, PageUp: from - 20, PageDown: from + 20, Home: 0, End: last }[event.key];
      if (event.key === "Escape") this.show(null);
      if (to === undefined) return;
      event.preventDefault();
      this.show(this.points[Math.min(Math.max(to, 0), last)].at);
      text(this.said, this.tip.innerText.replaceAll("\n", " "));
    });
  }

  nearest(x) {
    return this.points.reduce((best, point) => (Math.abs(this.x(point.at) - x) < Math.abs(this.x(best) - x) ? point.at : best), this.first);
  }

  /** Show the values of the point of a time, none for null. */
  show(at) {
    const index = this.points.findIndex((point) => point.at === at);
    this.chosen = index < 0 ? null : at;
    this.tip.hidden = index < 0;
    this.cursor.replaceChildren();
    if (index < 0) return;
    const point = this.points[index];
    const shown = ["champion", "frozen"].filter((role) => point[role] !== null);
    const x = this.x(at);
    this.cursor.append(
      svg("line", { class: "cross", x1: x, x2: x, y1: this.box.top, y2: this.box.bottom }),
      ...shown.map((role) => svg("circle", { class: `dot ${role}`, cx: x, cy: this.y(point[role]), r: 4.5 })),
    );
    const row = (name, value, swatch) => el("div", { class: "row" }, el("span", {}, swatch && el("i", { class: `swatch ${swatch}` }), name), el("b", {}, value));
    const before = this.points[index - 1];
    const promotions = before ? point.promoted - before.promoted : 0;
    this.tip.replaceChildren(
      el("div", {}, `${this.last - this.first > 72e6 ? `${day(at)}, ` : ""}${timeOfDay(at)}`),
      ...shown.map((role) => row(role, this.scale.show(point[role]), role)),
      ...(point.previous === null ? [] : [row("predecessor", this.scale.show(point.previous))]),
      row("events so far", count(point.events)),
      ...(point.lag ? [row("waiting", count(point.lag))] : []),
      ...(promotions ? [row("new models", count(promotions))] : []),
    );
    const room = this.place.clientWidth - this.tip.offsetWidth;
    const left = x + 14 + this.tip.offsetWidth > this.box.right + 100 || x + 14 > room ? x - 14 - this.tip.offsetWidth : x + 14;
    this.tip.style.transform = `translate(${Math.min(Math.max(left, 0), Math.max(room, 0))}px, ${this.box.top}px)`;
  }
}

function niceStep(rough) {
  const size = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * size).find((step) => step >= rough - 1e-15);
}
