// A customer: who it is, what is up, why, what happened, and what a lead may set by hand.
import { watchActs } from "./acts.js";
import { legend, lineChart, plot } from "./charts.js";
import { h, rebuild } from "./dom.js";
import { listen } from "./live.js";
import { facts, flagName, heading, liveInput, notice, section, table, tag, failure } from "./parts.js";
import { reasonBars } from "./reasons.js";
import { alertRow, kindOf } from "./row.js";
import { overrideForm } from "./override.js";
import { scene } from "./scene.js";
import { Refusal, get, mayAct, path } from "./server.js";
import { chosen, day, figure, name, number, percent, t, time } from "./words.js";

const EVERY_MS = 15_000;

function bandTag(band) {
  const tones = { high: "red", medium: "amber", low: "green" };
  return band ? tag(name("band", band), { tone: tones[band] ?? "plain" }) : null;
}

function tiles(customer) {
  const tile = (label, value, beside = null) =>
    h("div", { class: "tile" }, h("dt", {}, label), h("dd", {}, value ?? h("span", { class: "faint" }, t("unknown")), beside));
  const known = (value, show) => (value === null || value === undefined ? null : show(value));
  return h(
    "dl",
    { class: "tiles" },
    tile(t("score.churn"), known(customer.churn, (value) => percent(value, 1)), bandTag(customer.churn_band)),
    tile(t("score.engagement"), known(customer.engagement, (value) => figure(value, 1))),
    tile(t("score.contact"), known(customer.contact, (value) => percent(value, 1))),
    tile(t("value"), known(customer.value, (value) => number(value, 2))),
    tile(t("silence"), known(customer.silence_ratio, (value) => t("silence.ratio", { ratio: number(value, 1) }))),
    tile(t("stage"), known(customer.stage, (value) => name("stage", value))),
    tile(t("segment"), known(customer.segments ?? customer.segment, String)),
    tile(t("flags_up"), known(customer.flags_up, number)),
  );
}

function flags(found) {
  const ids = (row) =>
    row.evidence?.length
      ? h(
          "details",
          { "data-key": `evidence ${row.alert_id}` },
          h("summary", { "data-key": `evidence summary ${row.alert_id}` }, t("evidence.n", { n: row.evidence.length })),
          h("ul", { class: "evidence" }, row.evidence.map((each) => h("li", { class: "id" }, each))),
        )
      : h("span", { class: "faint" }, t("none"));
  const state = (row) => (row.up ? tag(t("flag.up"), { tone: "red", shape: "fresh" }) : tag(t("flag.down"), { shape: "closed" }));
  const columns = [
    { title: t("alerts.flag"), main: true, cell: (row) => h("a", { href: path`#/alert/${row.alert_id}` }, flagName(row.flag, row.category)) },
    { title: t("state"), cell: state },
    { title: t("severity"), cell: (row) => name("severity", row.severity) },
    { title: t("count"), numeric: true, cell: (row) => number(row.count) },
    { title: t("begins"), cell: (row) => time(row.since) },
    { title: t("ends"), cell: (row) => (row.until === null ? t("until.none") : time(row.until)) },
    { title: t("evidence"), cell: ids },
  ];
  return table(t("flags"), columns, found, { empty: t("flags.none") });
}

function history(days) {
  if (!days?.length) return h("p", { class: "empty" }, t("history.none"));
  const labels = days.map(([date]) => day(date));
  const churn = days.map((each) => each[1]);
  const engagement = days.map((each) => each[2]);
  const last = days[days.length - 1];
  const columns = [
    { title: t("day"), cell: (row) => day(row[0]), main: true },
    { title: t("score.churn"), cell: (row) => percent(row[1], 1), numeric: true },
    { title: t("score.engagement"), cell: (row) => figure(row[2], 1), numeric: true },
  ];
  const one = (key, values, high, format, type, table) =>
    plot({
      title: t(`score.${key}`),
      about: t("history.about", { n: days.length, last: format(last[key === "churn" ? 1 : 2]) }),
      key: `history ${key}`,
      draw: (width) => lineChart(width, { labels, series: [{ label: t(`score.${key}`), values, type }], high, format, height: 150 }),
      ...table,
    });
  const top = Math.max(...engagement.filter((each) => each !== null), 1);
  return [
    one("churn", churn, 1, (value) => percent(value), "series-a", {}),
    one("engagement", engagement, top, (value) => number(value, 2), "series-b", { columns, rows: [...days].reverse() }),
  ];
}

function alertList(found) {
  if (!found.length) return h("p", { class: "empty" }, t("customer.no_alerts"));
  return h(
    "ol",
    { class: "queue queue-inner" },
    found.map((each) => h("li", { class: `row row-${kindOf(each)}` }, alertRow(each, { about: false }))),
  );
}

function sensitiveNotice(customer, alerts) {
  if (!customer.sensitive) return null;
  const open = alerts.find((each) => each.closed_at === null && each.guidance && ["sensitive_contact", "sensitive"].includes(each.flag));
  return notice(
    "rose",
    h("p", {}, t("sensitive.care")),
    open && h("p", {}, h("strong", {}, t("guidance.say")), " ", chosen(open.guidance.say)),
    open && h("p", {}, h("strong", {}, t("guidance.avoid")), " ", chosen(open.guidance.avoid)),
  );
}

/** Parts that are drawn anew only when their own data changed, so that an open form or a selection stays. */
function parts(found, id) {
  const { customer } = found;
  const profile = Object.entries(found.profile ?? {});
  const reasons = found.reasons?.churn ?? [];
  return {
    notice: [[customer.sensitive, found.alerts], () => sensitiveNotice(customer, found.alerts)],
    tiles: [customer, () => tiles(customer)],
    alerts: [found.alerts, () => section(t("customer.alerts"), {}, alertList(found.alerts))],
    flags: [found.flags, () => section(t("flags"), { hint: t("flags.hint") }, flags(found.flags))],
    scene: [found.timeline, () => section(t("scene"), { hint: t("scene.hint") }, scene(found.timeline))],
    reasons: [
      reasons,
      () =>
        section(
          t("customer.why"),
          {},
          reasons.length ? reasonBars(reasons, id) : h("p", { class: "empty" }, t("reasons.none")),
          reasons.length ? legend(["bar-up", t("reasons.up")], ["bar-down", t("reasons.down")]) : null,
        ),
    ],
    history: [found.history, () => section(t("history"), {}, history(found.history))],
    profile: [
      [found.profile, customer.as_of],
      () =>
        section(
          t("profile"),
          {},
          profile.length ? facts(profile.map(([key, value]) => [name("attribute", key), String(value)])) : h("p", { class: "empty" }, t("profile.none")),
          facts([
            [t("as_of"), time(customer.as_of)],
            customer.next_change_at && [t("next_change"), time(customer.next_change_at)],
            [t("lane"), number(customer.lane)],
            customer.capped && [t("capped"), name("capped", customer.capped)],
          ]),
        ),
    ],
  };
}

export async function show(context) {
  const { root, signal, parameters } = context;
  const id = parameters[0];
  let found = null;
  context.title(id);
  const input = liveInput("", () => found?.input ?? "unknown", signal);
  const badges = h("span", { class: "live-input" });
  root.append(heading(h("span", { class: "id" }, id), badges));
  const body = h("div", { "aria-busy": "true" });
  root.append(body);
  const places = new Map();
  const place = (key) => {
    if (!places.has(key)) places.set(key, h("div", { class: "part" }));
    return places.get(key);
  };
  const override = h("div", { class: "part" });

  function lay() {
    rebuild(
      body,
      ["notice", "tiles", "alerts", "flags"].map(place),
      h(
        "div",
        { class: "columns" },
        h("div", { class: "column" }, place("scene")),
        h("div", { class: "column column-side" }, place("reasons"), place("history"), place("profile"), override),
      ),
    );
    if (mayAct("lead")) override.append(section(t("override"), { hint: t("override.hint") }, overrideForm(id, found.overrides_allowed ?? [])));
  }

  function draw(force = false) {
    if (!found) return;
    for (const [key, [data, make]] of Object.entries(parts(found, id))) {
      const text = JSON.stringify(data ?? null);
      const at = place(key);
      if (force || at.drawn !== text) rebuild(at, make());
      at.drawn = text;
    }
    const current = liveInput(found.customer.lane, () => found.input, signal);
    rebuild(badges, found.customer.sensitive ? tag(t("sensitive"), { tone: "rose", shape: "sensitive" }) : null, current.element);
  }

  let timer = null;
  async function read() {
    clearTimeout(timer);
    try {
      const answer = await get(path`customers/${id}`, signal);
      const first = found === null;
      found = answer;
      if (first) lay();
      draw();
      body.removeAttribute("aria-busy");
    } catch (error) {
      if (signal.aborted || !(error instanceof Refusal)) return;
      if (error.status === 404) {
        found = null;
        rebuild(badges, tag(t("unknown"), { tone: "amber", shape: "stale" }));
        rebuild(body, notice("plain", h("p", {}, t("customer.unknown", { id }))));
      } else if (found === null) rebuild(body, failure(error, read));
    } finally {
      if (!signal.aborted) timer = setTimeout(next, EVERY_MS);
    }
  }
  const next = () => (document.hidden ? (timer = setTimeout(next, EVERY_MS)) : read());
  let soon = null;
  const concerned = ({ alert }) => {
    if (alert.customer_id !== id) return;
    clearTimeout(soon);
    soon = setTimeout(read, 100);
  };
  signal.addEventListener("abort", () => (clearTimeout(timer), clearTimeout(soon)));
  listen("alert", concerned, signal);
  listen("fact", concerned, signal);
  listen("again", read, signal);
  watchActs((which) => {
    const at = places.get("alerts");
    if (at && found?.alerts.some((each) => each.alert_id === which)) rebuild(at, parts(found, id).alerts[1]());
  }, signal);
  context.alertOf = (which) => found?.alerts.find((each) => each.alert_id === which) ?? null;
  input.draw();
  await read();
}

