// Plots as SVG, drawn at the width that they have, each with a description and its numbers in a table.
import { h, s } from "./dom.js";
import { table } from "./parts.js";
import { t } from "./words.js";

const PAD = { top: 12, right: 14, bottom: 26, left: 44 };

/** A figure: draws itself anew when its width changes. `draw(width)` returns an SVG element. */
export function plot({ title, about, draw, columns, rows, key }) {
  const place = h("div", { class: "plot" });
  let width = 0;
  const observer = new ResizeObserver(([entry]) => {
    const now = Math.round(entry.contentRect.width);
    if (now === width || now < 40) return;
    width = now;
    const drawing = draw(width);
    drawing.setAttribute("role", "img");
    drawing.setAttribute("aria-label", `${title}. ${about}`);
    place.replaceChildren(drawing);
  });
  observer.observe(place);
  return h(
    "figure",
    { class: "figure" },
    h("figcaption", {}, h("strong", {}, title), about && h("span", { class: "hint" }, about)),
    place,
    columns &&
      h(
        "details",
        { "data-key": `table ${key ?? title}` },
        h("summary", { "data-key": `summary ${key ?? title}` }, t("chart.table")),
        h("div", { class: "scroll-x", tabindex: "0", role: "group", "aria-label": title }, table(title, columns, rows)),
      ),
  );
}

const canvas = (width, height) => s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, class: "chart" });

const text = (x, y, content, type = "", anchor = "start") =>
  s("text", { x, y, class: `chart-text ${type}`, "text-anchor": anchor }, content);

const line = (x1, y1, x2, y2, type) => s("line", { x1, y1, x2, y2, class: type });

/** Round steps for an axis from 0 (or `low`) to at least `high`. */
export function steps(high, wanted = 4, low = 0) {
  const span = Math.max(high - low, 1e-9);
  const rough = span / wanted;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * size).find((each) => each >= rough - 1e-12);
  const found = [];
  for (let at = Math.floor(low / step) * step; at < high + step * 0.999; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}

function grid(svg, { width, height, ticks, y, format, labels = [] }) {
  for (const tick of ticks) {
    svg.append(line(PAD.left, y(tick), width - PAD.right, y(tick), "chart-grid"));
    svg.append(text(PAD.left - 6, y(tick) + 4, format(tick), "", "end"));
  }
  for (const { at, label, anchor } of labels) svg.append(text(at, height - 8, label, "", anchor ?? "middle"));
}

// Labels of the x axis: as many as fit, the last one always.
function spread(n, width, each = 64) {
  const every = Math.max(1, Math.ceil(n / Math.max(1, Math.floor(width / each))));
  return [...Array(n).keys()].filter((i) => (n - 1 - i) % every === 0);
}

/** Lines over days; `series` is `{label, values, type}`, values may miss. Domain 0 to `high`. */
export function lineChart(width, { labels, series, high, format, height = 180 }) {
  const svg = canvas(width, height);
  const inner = width - PAD.left - PAD.right;
  const ticks = steps(high);
  const top = ticks[ticks.length - 1];
  const x = (i) => PAD.left + (labels.length > 1 ? (i / (labels.length - 1)) * inner : inner / 2);
  const y = (value) => height - PAD.bottom - (value / top) * (height - PAD.top - PAD.bottom);
  const anchor = (i) => (labels.length > 1 && i === labels.length - 1 ? "end" : "middle");
  const shown = spread(labels.length, inner).map((i) => ({ at: x(i), label: labels[i], anchor: anchor(i) }));
  grid(svg, { width, height, ticks, y, format, labels: shown });
  for (const { values, type, label } of series) {
    const known = values.map((value, i) => [i, value]).filter(([, value]) => value !== null && value !== undefined);
    const points = known.map(([i, value]) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    svg.append(s("polyline", { points, class: `chart-line ${type}`, fill: "none" }));
    for (const [i, value] of known) {
      const dot = s("circle", { cx: x(i), cy: y(value), r: known.length > 40 ? 1.5 : 3, class: `chart-dot ${type}` });
      dot.append(s("title", {}, `${label} · ${labels[i]} · ${format(value)}`));
      svg.append(dot);
    }
  }
  return svg;
}

/** Bars from a middle line, one a row: `{label, value, text}`. */
export function signedBars(width, rows) {
  const step = 36;
  const height = rows.length * step;
  const svg = canvas(width, height);
  const most = Math.max(...rows.map((row) => Math.abs(row.value)), 1e-9);
  const room = 52;
  const middle = width / 2;
  const scale = (middle - room) / most;
  rows.forEach((row, i) => {
    const top = i * step + 18;
    const size = Math.max(1.5, Math.abs(row.value) * scale);
    const up = row.value >= 0;
    svg.append(text(0, top - 6, row.label));
    svg.append(line(middle, top - 2, middle, top + 11, "chart-axis"));
    svg.append(s("rect", { x: up ? middle : middle - size, y: top, width: size, height: 9, rx: 1, class: up ? "bar-up" : "bar-down" }));
    svg.append(text(up ? middle + size + 5 : middle - size - 5, top + 8, row.text, "strong", up ? "start" : "end"));
  });
  return svg;
}

/** A share with its interval, one a row: `{label, value, low, high, note}`; `null` where nobody knows. */
export function intervals(width, rows, format) {
  const step = 34;
  const height = rows.length * step + PAD.bottom + 4;
  const svg = canvas(width, height);
  const left = 4;
  const x = (value) => left + value * (width - left - 40);
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(line(x(tick), 4, x(tick), height - PAD.bottom, "chart-grid"));
    svg.append(text(x(tick), height - 8, format(tick), "", tick === 0 ? "start" : "middle"));
  }
  rows.forEach((row, i) => {
    const top = i * step + 14;
    svg.append(text(left + 2, top, row.label, "halo"));
    svg.append(text(width - 2, top, row.note, "strong halo", "end"));
    if (row.value === null) return;
    svg.append(s("rect", { x: x(0), y: top + 5, width: Math.max(1, x(row.value) - x(0)), height: 8, rx: 1, class: "bar-plain" }));
    svg.append(line(x(row.low), top + 9, x(row.high), top + 9, "whisker"));
    for (const end of [row.low, row.high]) svg.append(line(x(end), top + 5, x(end), top + 13, "whisker"));
  });
  return svg;
}

/** How often what was predicted came true; points `{n, mean, share}`, their area by `n`. */
export function reliability(width, points, format) {
  const size = Math.min(width, 340);
  const svg = canvas(size, size);
  const left = PAD.left + 14;
  const inner = size - left - PAD.right;
  const x = (value) => left + value * inner;
  const y = (value) => size - PAD.bottom - 12 - value * (size - PAD.top - PAD.bottom - 12);
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(line(x(0), y(tick), x(1), y(tick), "chart-grid"), line(x(tick), y(0), x(tick), y(1), "chart-grid"));
    svg.append(text(left - 6, y(tick) + 4, format(tick), "", "end"));
    svg.append(text(x(tick), size - PAD.bottom + 4, format(tick), "", "middle"));
  }
  svg.append(line(x(0), y(0), x(1), y(1), "chart-ideal"));
  svg.append(text(x(0.5), size - 4, t("models.axis_predicted"), "faint", "middle"));
  svg.append(
    s("text", { x: 0, y: 0, class: "chart-text faint", "text-anchor": "middle", transform: `translate(10 ${y(0.5)}) rotate(-90)` }, t("models.axis_true")),
  );
  const most = Math.max(...points.map((each) => each.n), 1);
  const path = points.map((each) => `${x(each.mean).toFixed(1)},${y(each.share).toFixed(1)}`).join(" ");
  svg.append(s("polyline", { points: path, class: "chart-line series-a", fill: "none" }));
  for (const each of points) {
    const dot = s("circle", { cx: x(each.mean), cy: y(each.share), r: 2.5 + 6 * Math.sqrt(each.n / most), class: "chart-bubble" });
    dot.append(s("title", {}, `${format(each.mean)} → ${format(each.share)} · n = ${each.n}`));
    svg.append(dot);
  }
  return svg;
}

/** Load by the hour: bars of all requests, those that are complaints filled. `hours`: `{label, total, part, text}`. */
export function hourBars(width, hours, { high, format, height = 110 }) {
  const svg = canvas(width, height);
  const inner = width - PAD.left - PAD.right;
  const ticks = steps(Math.max(high, 1), 3).filter((each) => Number.isInteger(each));
  const top = ticks[ticks.length - 1];
  const each = inner / Math.max(hours.length, 1);
  const y = (value) => height - PAD.bottom - (value / top) * (height - PAD.top - PAD.bottom);
  const labels = spread(hours.length, inner, 72).map((i) => {
    const last = i === hours.length - 1 && hours.length > 6;
    return { at: PAD.left + (i + (last ? 1 : 0.5)) * each, label: hours[i].label, anchor: last ? "end" : "middle" };
  });
  grid(svg, { width, height, ticks, y, format, labels });
  hours.forEach((hour, i) => {
    const x = PAD.left + i * each + Math.min(1, each * 0.1);
    const wide = Math.max(1, each - Math.min(2, each * 0.2));
    const whole = s("rect", { x, y: y(hour.total), width: wide, height: Math.max(0, y(0) - y(hour.total)), class: "bar-soft" });
    whole.append(s("title", {}, hour.text));
    svg.append(whole);
    if (hour.part > 0) {
      svg.append(s("rect", { x, y: y(hour.part), width: wide, height: y(0) - y(hour.part), class: "bar-strong" }));
    }
  });
  svg.append(line(PAD.left, y(0), width - PAD.right, y(0), "chart-axis"));
  return svg;
}

/** What the colours of a plot mean. */
export function legend(...entries) {
  return h(
    "ul",
    { class: "legend" },
    entries.map(([type, label]) => h("li", {}, s("svg", { width: 18, height: 10, "aria-hidden": "true" }, mark(type)), label)),
  );
}

function mark(type) {
  if (type.startsWith("series")) return s("line", { x1: 0, x2: 18, y1: 5, y2: 5, class: `chart-line ${type}` });
  if (type === "chart-ideal") return s("line", { x1: 0, x2: 18, y1: 5, y2: 5, class: type });
  return s("rect", { width: 18, height: 10, rx: 1, class: type });
}
