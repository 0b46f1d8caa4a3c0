const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 40rem)");
const coarse = matchMedia("(pointer: coarse)");
const print = matchMedia("print");
const tint = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Outlines in a field of 12 × 12, by plotly's names.
const SYMBOLS = {
  circle: "M6 1.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9z",
  square: "M2 2h8v8h-8z",
  "triangle-up": "M6 1.2L11 10H1z",
  "triangle-down": "M6 10.8L11 2H1z",
  diamond: "M6 .8L11.2 6L6 11.2L.8 6z",
  cross: "M4.2 1h3.6v3.2H11v3.6H7.8V11H4.2V7.8H1V4.2h3.2z",
  x: "M3 .8L6 3.8L9 .8L11.2 3L8.2 6L11.2 9L9 11.2L6 8.2L3 11.2L.8 9L3.8 6L.8 3z",
  line: "M0 5h12v2H0z",
};

function themed(layout) {
  const ground = tint("--ground"), ink = tint("--ink"), muted = tint("--muted");
  const size = narrow.matches ? 11 : 13;
  const axes = Object.entries(layout).filter(([name]) => /^[xy]axis/.test(name)).map(([name, own]) => [name, {
    ...own,
    gridcolor: tint("--grid"),
    linecolor: tint("--rule"),
    title: { ...own.title, font: { size, color: muted } },
    tickfont: { size: size - 1, color: ink },
  }]);
  return {
    ...layout,
    ...Object.fromEntries(axes),
    autosize: true,
    showlegend: false,
    paper_bgcolor: ground,
    plot_bgcolor: ground,
    font: { family: tint("--sans"), size, color: ink },
    annotations: layout.annotations.map((note) => ({ ...note, font: { size: size - 1, color: muted } })),
    margin: { ...layout.margin, t: 12, ...(narrow.matches ? { l: 44, r: 6 } : {}) },
    hoverlabel: { bgcolor: ground, bordercolor: tint("--rule"), font: { color: ink, size: 12 }, align: "left" },
    dragmode: coarse.matches ? false : "zoom",
  };
}

// A training figure has one trace for all runs of a group, with gaps between them: its texts are told once a run.
function spread(trace) {
  if (!trace.meta || !trace.meta.lengths) return trace;
  const each = (values) => trace.meta.lengths.flatMap((length, place) => Array(length).fill(values[place]));
  return { ...trace, text: each(trace.meta.texts), customdata: each(trace.meta.anchors) };
}

// A rim in the colour of the ground keeps markers apart where they overlap.
const shown = (data, hidden) => data.map((trace) => ({
  ...spread(trace),
  visible: !hidden.has(trace.legendgroup),
  ...(trace.marker ? { marker: { ...trace.marker, line: { ...trace.marker.line, color: tint("--ground") } } } : {}),
}));
const options = { responsive: true, displayModeBar: false };

const plots = [];
const hidden = new Set();

function draw(plot) {
  const { element, figure } = plot;
  const arguments_ = [element, shown(figure.data, hidden), themed(figure.layout), options];
  if (plot.drawn) return Plotly.react(...arguments_);
  plot.drawn = true;
  return Plotly.newPlot(...arguments_).then(() => element.on("plotly_click", (event) => {
    const anchor = event.points[0].customdata;
    if (typeof anchor === "string") goTo(anchor);
  }));
}

// A figure of rows is as high as its rows.
function fit({ element, figure }) {
  if (figure.rows) element.style.height = `${5 + 1.2 * figure.rows}rem`;
}

const redraw = () => plots.filter((plot) => plot.drawn).forEach(draw);

function legend(figure) {
  if (figure.rows) return []; // its rows have their names
  const keys = new Map();
  for (const trace of figure.data) {
    const named = trace.legendgroup !== undefined && trace.showlegend !== false;
    if (!named || keys.has(trace.legendgroup)) continue;
    const { marker = {}, line = {} } = trace;
    const symbol = Array.isArray(marker.symbol) ? marker.symbol[0] : marker.symbol;
    const color = Array.isArray(marker.color) ? line.color : marker.color ?? line.color;
    keys.set(trace.legendgroup, { color, path: SYMBOLS[String(symbol).replace("-open", "")] ?? SYMBOLS[trace.marker ? "circle" : "line"] });
  }
  return [...keys].map(([group, { color, path }]) => {
    const key = made("svg", { viewBox: "0 0 12 12", "aria-hidden": "true" }, made("path", { d: path, fill: color }));
    const button = made("button", { type: "button", "aria-pressed": "true" }, key, plain(group));
    button.dataset.group = group;
    return button;
  });
}

function show(groups) {
  hidden.clear();
  groups.forEach((group) => hidden.add(group));
  for (const button of document.querySelectorAll("[data-legend] button")) {
    button.setAttribute("aria-pressed", String(!hidden.has(button.dataset.group)));
  }
  redraw();
}

function toggle(group) {
  const groups = new Set(hidden);
  if (!groups.delete(group)) groups.add(group);
  show(groups);
}

const MOST_ROWS = 500;

function rowsOf(trace) {
  const group = trace.legendgroup === undefined ? "" : plain(trace.legendgroup);
  const rows = trace.x.map((x, place) => ({ group, x, y: trace.y[place], anchor: (trace.customdata ?? [])[place] }));
  if (!trace.meta || !trace.meta.lengths) return rows;
  // Of a training curve its end: the last value of every run.
  let end = 0;
  return trace.meta.lengths.map((length, place) => {
    const own = rows.slice(end, end += length).filter((row) => row.y !== null);
    return { ...own[own.length - 1], anchor: trace.meta.anchors[place] };
  });
}

function dataTable(figure, label) {
  if (figure.table) return [table(figure.table.headers.map(plain), figure.table.rows.map((row) => row.map(plain)), label)];
  const { xaxis, yaxis } = figure.layout;
  const told = figure.data.filter((trace) => trace.hoverinfo !== "skip" && trace.showlegend !== false);
  const rows = told.flatMap(rowsOf).filter((row) => row.x !== undefined && row.x !== null);
  const linked = rows.some((row) => row.anchor), named = rows.some((row) => row.group);
  const step = Math.ceil(rows.length / MOST_ROWS);
  const text = (value) => (value === null || value === undefined ? "–" : plain(String(value)));
  const cells = rows.filter((_, place) => place % step === 0).map(({ group, x, y, anchor }) => [
    ...(named ? [group] : []),
    ...(linked ? [anchor ? made("a", { href: "#" + encodeURIComponent(anchor) }, anchor.replace(/^run-/, "")) : "–"] : []),
    text(x),
    text(y),
  ]);
  const axis = (own, fallback) => plain((own.title ?? {}).text ?? fallback);
  const headers = [...(named ? ["Group"] : []), ...(linked ? ["Run"] : []), axis(xaxis, "x"), axis(yaxis, "y")];
  const note = step > 1 ? `Every ${step}th of ${rows.length} rows.` : "";
  return [made("p", { class: "note" }, note), table(headers, cells, label)];
}

for (const element of document.querySelectorAll("[data-figure]")) {
  const figure = json(element.dataset.figure);
  const keys = document.querySelector(`[data-legend="${element.dataset.figure}"]`);
  keys.append(...legend(figure));
  plots.push({ element, figure, drawn: false });
  fit(plots[plots.length - 1]);
}

for (const keys of document.querySelectorAll("[data-legend]")) {
  keys.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) toggle(button.dataset.group);
  });
  keys.addEventListener("dblclick", (event) => {
    const button = event.target.closest("button");
    if (button) show([...keys.children].map((key) => key.dataset.group).filter((group) => group !== button.dataset.group));
  });
}

for (const details of document.querySelectorAll("[data-of]")) {
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    details.append(...dataTable(json(details.dataset.of), "Data of this figure"));
  });
}

// One at a time, so that the page answers between two figures.
function drawNext() {
  const next = plots.find((plot) => !plot.drawn);
  if (!next) {
    document.documentElement.dataset.drawn = "all";
    return;
  }
  draw(next).then(() => setTimeout(drawNext));
}
drawNext();
for (const query of [dark, narrow, print]) query.addEventListener("change", redraw);
