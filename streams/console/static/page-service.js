// The load of each category and channel by the hour, and incidents.
import { hourBars, legend, plot } from "./charts.js";
import { h } from "./dom.js";
import { follow, heading, section } from "./parts.js";
import { alertRow } from "./row.js";
import { get } from "./server.js";
import { clock, dayAt, name, number, t, time } from "./words.js";

// The server puts the busiest first.
const SHOWN = 9;

function load(dimension, { value, hours }, high) {
  const label = dimension === "channel" ? name("channel", value) : value;
  const sum = (key) => hours.reduce((total, hour) => total + hour[key], 0);
  const bars = hours.map((hour) => ({
    label: clock(hour.start),
    total: hour.requests + hour.complaints,
    part: hour.complaints,
    text: `${clock(hour.start)} · ${t("service.requests")} ${hour.requests} · ${t("service.complaints")} ${hour.complaints} · ${t("service.customers")} ${hour.customers}`,
  }));
  return plot({
    title: label,
    about: t("service.about", { requests: sum("requests"), complaints: sum("complaints") }),
    key: `${dimension} ${value}`,
    draw: (width) => hourBars(width, bars, { high, format: (tick) => number(tick) }),
    columns: [
      { title: t("service.hour"), cell: (hour) => time(hour.start), main: true },
      { title: t("service.customers"), cell: (hour) => number(hour.customers), numeric: true },
      { title: t("service.requests"), cell: (hour) => number(hour.requests), numeric: true },
      { title: t("service.complaints"), cell: (hour) => number(hour.complaints), numeric: true },
    ],
    rows: [...hours].reverse(),
  });
}

function dimension(key, values) {
  if (!values?.length) return section(t(`service.${key}`), {}, h("p", { class: "empty" }, t("service.no_load")));
  const plots = (some) => h("div", { class: "plots" }, some.map((each) => load(key, each, high)));
  const rest = values.slice(SHOWN);
  // One scale for all, so that they can be compared by eye.
  const high = Math.max(1, ...values.flatMap((each) => each.hours.map((hour) => hour.requests + hour.complaints)));
  return section(
    t(`service.${key}`),
    { hint: t("service.scale") },
    legend(["bar-soft", t("service.requests")], ["bar-strong", t("service.complaints")]),
    plots(values.slice(0, SHOWN)),
    rest.length > 0 &&
      h(
        "details",
        { "data-key": `more ${key}` },
        h("summary", { "data-key": `more summary ${key}` }, t("service.more", { n: rest.length })),
        plots(rest),
      ),
  );
}

export function show(context) {
  const { root, signal } = context;
  context.title(t("nav.service"));
  const body = h("div", {});
  root.append(heading(t("nav.service")), body);
  const incidents = (found) =>
    found.length
      ? h("ol", { class: "queue queue-inner" }, found.map((each) => h("li", { class: "row row-incident" }, alertRow(each))))
      : h("p", { class: "empty" }, t("service.no_incidents"));
  const draw = ({ service, delivery }) => [
    section(t("service.incidents"), { hint: t("service.incidents_hint") }, incidents(service.incidents)),
    dimension("category", service.dimensions.category),
    dimension("channel", service.dimensions.channel),
    delivered(delivery.windows),
  ];
  const read = async () => {
    const [service, delivery] = await Promise.all([get("service", signal), get("delivery", signal)]);
    return { service, delivery };
  };
  follow(body, { read, draw, signal });
}

const sum = (held) => Object.values(held).reduce((total, n) => total + n, 0);

function delivered(windows) {
  if (!windows?.length) return section(t("delivery"), {}, h("p", { class: "empty" }, t("delivery.none")));
  const shown = [...windows].sort((a, b) => a.start - b.start);
  // Windows without a message are none, so a long time may lie between two bars.
  const label = shown.at(-1).start - shown[0].start > 172_800_000 ? dayAt : clock;
  const bars = shown.map((each) => ({
    label: label(each.start),
    total: each.delivered + sum(each.held),
    part: each.delivered,
    text: `${dayAt(each.start)} ${clock(each.start)} · ${t("rules.delivered")} ${each.delivered} · ${t("rules.held")} ${sum(each.held)}`,
  }));
  const reasons = [...new Set(shown.flatMap((each) => Object.keys(each.held)))].sort();
  return section(
    t("delivery"),
    { hint: t("delivery.hint") },
    legend(["bar-strong", t("rules.delivered")], ["bar-soft", t("rules.held")]),
    plot({
      title: t("delivery.plot"),
      about: t("delivery.about", { delivered: shown.reduce((n, each) => n + each.delivered, 0), held: shown.reduce((n, each) => n + sum(each.held), 0) }),
      key: "delivery",
      draw: (width) => hourBars(width, bars, { high: Math.max(...bars.map((bar) => bar.total)), format: (tick) => number(tick), height: 140 }),
      columns: [
        { title: t("delivery.window"), cell: (row) => time(row.start), main: true },
        { title: t("rules.delivered"), cell: (row) => number(row.delivered), numeric: true },
        ...reasons.map((each) => ({ title: name("held", each.split(":")[0] === "inhibited" ? "inhibited" : each), cell: (row) => number(row.held[each] ?? 0), numeric: true })),
      ],
      rows: [...shown].reverse(),
    }),
  );
}
