"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const narrow = () => window.innerWidth < 560;

function layout(more) {
  const axis = {
    gridcolor: color("line"), linecolor: color("line"), zeroline: false, tickcolor: color("line"),
    automargin: true, fixedrange: narrow(),
  };
  const base = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: color("soft"), size: narrow() ? 11 : 13, family: "system-ui, sans-serif" },
    margin: { l: 56, r: 10, t: 8, b: 28 }, hovermode: "x unified",
    hoverlabel: { bgcolor: color("paper"), bordercolor: color("line"), font: { color: color("ink") } },
    legend: { orientation: "h", traceorder: "reversed", x: 0, y: 1.02, yanchor: "bottom", font: { color: color("ink") } },
    xaxis: { ...axis, range: [0, data.events], tickformat: "~s", hoverformat: ",d" },
    yaxis: axis,
  };
  return { ...base, ...more, xaxis: { ...base.xaxis, ...more.xaxis }, yaxis: { ...axis, ...more.yaxis } };
}

function draw(id, traces, more) {
  const place = document.getElementById(id);
  if (place) Plotly.react(place, traces, layout(more), { displayModeBar: false, responsive: true });
}

function scores() {
  const lines = [
    ["baseline", "guessing", "guessing", 1.2, "dot"],
    ["frozen", "frozen", "frozen", 1.8, "solid"],
    ["previous", "predecessor", "predecessor", 1, "dash"],
    ["ungated", "ungated", "ungated", 1.2, "solid"],
    ["champion", "champion", "champion", 2.6, "solid"],
  ];
  const format = data.regression ? ".4~g" : ".1%";
  const traces = lines.map(([role, name, shade, width, dash]) => ({
    type: "scatter", mode: "lines", name, x: data.scores.at, y: data.scores.roles[role], connectgaps: false,
    line: { color: color(shade), width, dash }, hovertemplate: "%{y:" + format + "}",
  }));
  const symbols = { concept: "triangle-down", prediction: "diamond", data: "circle" };
  for (const [kind, at] of Object.entries(data.alarms)) {
    if (at.length) traces.push({
      type: "scatter", mode: "markers", name: kind + " drift alarm", x: at, y: at.map(() => 1), yaxis: "y2",
      marker: { color: color("alarm"), size: 8, symbol: symbols[kind] || "x" }, hovertemplate: "raised",
    });
  }
  const shapes = data.suspicions.map(([from, to]) => ({
    type: "rect", xref: "x", yref: "paper", x0: from, x1: to, y0: 0, y1: 1, line: { width: 0 },
    fillcolor: color("rolled_back"), opacity: 0.18, layer: "below",
  }));
  const values = ["champion", "ungated", "frozen"].flatMap((role) => data.scores.roles[role]).filter((v) => v !== null);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = 0.06 * (high - low || 0.1);
  draw("scores", traces, {
    shapes, yaxis: { tickformat: data.regression ? "~g" : ".0%", range: [low - pad, high + 2 * pad] },
    yaxis2: { overlaying: "y", range: [0, 1.04], visible: false, fixedrange: true },
  });
}

function rounds() {
  const names = { promoted: "promoted", rejected: "rejected", rolled_back: "rolled back", failed: "failed" };
  const traces = Object.entries(names)
    .filter(([outcome]) => (data.rounds.outcomes[outcome] || []).some((count) => count))
    .map(([outcome, name]) => ({
      type: "bar", name, x: data.rounds.at, y: data.rounds.outcomes[outcome], width: data.rounds.width * 0.86,
      marker: { color: color(outcome) }, hovertemplate: "%{y}",
    }));
  const totals = data.rounds.at.map((_, index) => traces.reduce((sum, trace) => sum + trace.y[index], 0));
  const dtick = Math.max(1, Math.ceil(Math.max(...totals) / 2));
  draw("rounds", traces, { barmode: "stack", showlegend: true, yaxis: { dtick, rangemode: "tozero" } });
}

function series(id, given, more, extra) {
  const traces = Object.entries(given.series).map(([name, values], index) => ({
    type: "scatter", mode: "lines", name, x: given.at, y: values, ...extra(color("series-" + (1 + (index % 9)))),
  }));
  draw(id, traces, more);
}

function drawAll() {
  scores();
  rounds();
  const line = (shade) => ({ connectgaps: true, line: { color: shade, width: 1.5 }, hovertemplate: "%{y:.3f}" });
  const level = {
    type: "line", xref: "paper", x0: 0, x1: 1, y0: data.threshold, y1: data.threshold,
    line: { color: color("alarm"), width: 1.5, dash: "dot" },
  };
  const peak = Math.max(...Object.values(data.drift.series).flat(), data.threshold);
  series("drift", data.drift, {
    shapes: [level], yaxis: { type: "log", range: [-3, Math.max(0, Math.log10(2 * peak))], dtick: 1, tickformat: "~g" },
  }, line);
  series("concept", data.concept, { showlegend: false, yaxis: { nticks: 4 } }, line);
  series("shares", data.shares, { yaxis: { range: [0, 1], tickformat: ".0%", nticks: 5 } },
    (shade) => ({ stackgroup: "all", line: { color: shade, width: 0.5 }, hovertemplate: "%{y:.0%}" }));
}

drawAll();
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
