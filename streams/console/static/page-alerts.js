// The queue: live, in the order of docs/desk.md, without a reload and without moving what somebody is at.
import { actOf, watchActs } from "./acts.js";
import { arrange, h, rebuild } from "./dom.js";
import { listen } from "./live.js";
import { failure, heading } from "./parts.js";
import { alertRow, kindOf, queueOrder } from "./row.js";
import { Refusal, get, query, session } from "./server.js";
import { name, number, t } from "./words.js";

const STATES = ["open", "held", "closed"];
// What was announced together within this is one message to a screen reader.
const ANNOUNCE_MS = 1_200;
// Waiting lifts priorities on the server's clock; this often the whole queue is read anew.
const REREAD_MS = 120_000;

function announcer() {
  const place = document.getElementById("announce");
  let waiting = [];
  let timer = null;
  return (alert) => {
    waiting.push(alert);
    clearTimeout(timer);
    timer = setTimeout(() => {
      const [first] = waiting;
      place.textContent =
        waiting.length === 1
          ? t("alerts.announce_one", { flag: name("flag", first.flag), customer: first.customer_id })
          : t("alerts.announce_many", { n: waiting.length });
      waiting = [];
    }, ANNOUNCE_MS);
  };
}

/** Alert by alert, what the list shows. */
class Queue {
  constructor(list, state, onChange) {
    this.list = list;
    this.state = state;
    this.onChange = onChange;
    this.alerts = new Map();
    this.rows = new Map();
    this.fresh = new Set();
  }

  belongs(alert) {
    if (this.state === "closed") return alert.closed_at !== null;
    return alert.closed_at === null && Boolean(alert.held) === (this.state === "held");
  }

  replace(alerts) {
    this.alerts = new Map(alerts.map((each) => [each.alert_id, each]));
    this.draw();
  }

  /** Take a change; `true` if the alert is new here. */
  take(alert) {
    const had = this.alerts.has(alert.alert_id);
    if (this.belongs(alert)) this.alerts.set(alert.alert_id, alert);
    else this.alerts.delete(alert.alert_id);
    const isNew = !had && this.alerts.has(alert.alert_id);
    if (isNew) this.fresh.add(alert.alert_id);
    this.draw();
    return isNew;
  }

  row(alert) {
    const id = alert.alert_id;
    const text = JSON.stringify([alert, actOf(id) ?? null]);
    let row = this.rows.get(id);
    if (!row) {
      row = { element: h("li", { "data-alert": id }), text: null };
      this.rows.set(id, row);
    }
    if (row.text !== text) {
      const { element } = row;
      rebuild(element, alertRow(alert));
      element.className = `row row-${kindOf(alert)}${alert.acked_by !== null ? " is-acked" : ""}`;
      if (this.fresh.delete(id)) element.classList.add("is-new");
      row.text = text;
    }
    return row.element;
  }

  redraw(id) {
    if (this.alerts.has(id)) this.row(this.alerts.get(id));
  }

  draw() {
    const order = this.state === "closed" ? (a, b) => b.closed_at - a.closed_at : queueOrder;
    const shown = [...this.alerts.values()].sort(order);
    for (const id of [...this.rows.keys()]) if (!this.alerts.has(id)) this.leave(id, shown);
    arrange(this.list, shown.map((each) => this.row(each)));
    this.onChange();
  }

  // An alert that leaves while somebody is at it hands the focus to its neighbour, not to the top of the page.
  leave(id) {
    const { element } = this.rows.get(id);
    this.rows.delete(id);
    if (!element.contains(document.activeElement)) return;
    const next = element.nextElementSibling ?? element.previousElementSibling;
    next?.querySelector(".row-link")?.focus({ preventScroll: true });
  }

  redrawAll() {
    for (const row of this.rows.values()) row.text = null;
    this.draw();
  }
}

function filters(context, values, routes, flags) {
  const go = (change) => {
    location.hash = `#/alerts${query({ ...values, ...change })}`;
  };
  const route = h("input", {
    type: "text",
    id: "filter-route",
    list: "routes",
    value: values.route ?? "",
    placeholder: t("alerts.any_route"),
    autocomplete: "off",
    spellcheck: "false",
    on: { change: () => go({ route: route.value.trim() }) },
  });
  const flag = h(
    "select",
    { id: "filter-flag", on: { change: () => go({ flag: flag.value }) } },
    h("option", { value: "" }, t("alerts.any_flag")),
    [...flags].sort().map((each) => h("option", { value: each, selected: each === values.flag }, name("flag", each))),
  );
  const clear = { type: "button", class: "button button-quiet", on: { click: () => go({ route: "", flag: "" }) } };
  return h(
    "form",
    { class: "filters", on: { submit: (event) => event.preventDefault() } },
    h("div", { class: "field" }, h("label", { for: "filter-route" }, t("alerts.route")), route),
    h("datalist", { id: "routes" }, [...routes].sort().map((each) => h("option", { value: each }))),
    h("div", { class: "field" }, h("label", { for: "filter-flag" }, t("alerts.flag")), flag),
    (values.route || values.flag) && h("button", clear, t("alerts.all")),
  );
}

function tabs(values, total) {
  const link = (state) =>
    h(
      "a",
      {
        href: `#/alerts${query({ ...values, state: state === "open" ? "" : state })}`,
        class: "tab",
        "aria-current": state === values.state ? "page" : null,
      },
      t(`alerts.${state}`),
      state === values.state && h("span", { class: "tab-count" }, total),
    );
  return h("nav", { class: "tabs", "aria-label": t("alerts.tabs") }, STATES.map(link));
}

export async function show(context) {
  const { root, signal } = context;
  const state = STATES.includes(context.query.get("state")) ? context.query.get("state") : "open";
  const values = { state, route: context.query.get("route"), flag: context.query.get("flag") };
  let limit = 100;
  let total = null;
  const count = h("span", {}, "…");
  const controls = h("div", { class: "controls" });
  const list = h("ol", { class: "queue", "aria-label": t(`alerts.${state}`) });
  const foot = h("div", { class: "queue-foot" });
  root.append(heading(t("alerts.title")), h("div", { class: "queue-bar" }, tabs(values, count), controls));
  if (session.read_only) root.append(h("p", { class: "hint read-only" }, t("alerts.read_only")));
  root.append(list, foot);
  const announce = announcer();

  const queue = new Queue(list, state, () => {
    const n = queue.alerts.size;
    const all = Math.max(n, total ?? n);
    count.textContent = number(all);
    context.title(state === "open" && n ? `(${number(all)}) ${t("alerts.title")}` : t("alerts.title"));
    rebuild(
      foot,
      n === 0 && total !== null && h("p", { class: "empty" }, t(`alerts.none_${state}`)),
      all > n && h("button", { type: "button", class: "button", on: { click: more } }, t("alerts.more", { n, all })),
    );
  });
  const more = () => {
    limit = Math.min(limit + 200, 1_000);
    read();
  };
  const wanted = (alert) =>
    (!values.route || alert.route === values.route) && (!values.flag || alert.flag === values.flag);

  async function read() {
    try {
      const found = await get(`alerts${query({ ...values, limit })}`, signal);
      total = found.total;
      queue.replace(found.alerts);
      if (!controls.contains(document.activeElement)) rebuild(controls, filters(context, values, found.routes, found.flags));
    } catch (error) {
      if (signal.aborted || !(error instanceof Refusal)) return;
      if (total === null) rebuild(foot, failure(error, read));
    }
  }

  const take = (alert) => {
    if (!wanted(alert)) return false;
    const had = queue.alerts.has(alert.alert_id);
    const isNew = queue.take(alert);
    if (total !== null) total += Number(isNew) - Number(had && !queue.alerts.has(alert.alert_id));
    queue.onChange();
    return isNew;
  };
  listen("alert", ({ alert }) => take(alert) && state === "open" && announce(alert), signal);
  listen("fact", ({ alert }) => take(alert), signal);
  listen("again", read, signal);
  listen("input", () => queue.staleChanged?.(), signal);
  let inputs = null;
  queue.staleChanged = () => {
    const now = JSON.stringify(context.live.lanes);
    if (now !== inputs) queue.redrawAll();
    inputs = now;
  };
  watchActs((id) => queue.redraw(id), signal);
  const timer = setInterval(() => document.hidden || read(), REREAD_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  context.alerts = queue.alerts;
  context.alertOf = (id) => queue.alerts.get(id);
  await read();
}
