// What people do with alerts. An act is sent, waits for its fact to come back from the log, and then is state.
import { h } from "./dom.js";
import { openSnooze } from "./dialogs.js";
import { listen } from "./live.js";
import { Refusal, mayAct, path, post } from "./server.js";
import { t } from "./words.js";

// A worker that does not show a fact within this is behind; the act is not lost, it is in the log.
const LATE_MS = 10_000;

const acts = new Map();
const watchers = new Set();

/** Call with an alert id whenever what waits about it changes. */
export function watchActs(watcher, signal) {
  watchers.add(watcher);
  signal.addEventListener("abort", () => watchers.delete(watcher));
}

/** What waits about an alert: `{fact, state: sending|sent|late|refused, text}` or `undefined`. */
export const actOf = (id) => acts.get(id);

function note(id, act) {
  clearTimeout(acts.get(id)?.timer);
  if (act) acts.set(id, act);
  else acts.delete(id);
  for (const each of watchers) each(id);
}

listen("fact", ({ fact, alert }) => {
  const waiting = acts.get(alert.alert_id);
  if (waiting && waiting.fact === fact && waiting.state !== "refused") note(alert.alert_id, null);
});

async function act(alert, fact, body) {
  const id = alert.alert_id;
  note(id, { fact, state: "sending", text: t("act.sending") });
  try {
    await post(path`alerts/${id}/${fact}`, body);
  } catch (error) {
    note(id, { fact, state: "refused", text: error instanceof Refusal ? error.text : t("error.unknown") });
    return;
  }
  // The fact may have come before the answer.
  if (acts.get(id)?.fact !== fact) return;
  const timer = setTimeout(() => note(id, { fact, state: "late", text: t("act.late") }), LATE_MS);
  note(id, { fact, state: "sent", text: t("act.sent"), timer });
}

/** Whether a snooze holds is told by the lane's clock, which the server knows; of incidents by what was changed since. */
export const isSnoozed = (alert) =>
  alert.standing === "snoozed" ||
  (alert.standing === "incident" && alert.snoozed_until !== null && alert.snoozed_until > (alert.updated_at ?? 0));

/** The acts on an alert, by the key that does them. */
export const ACTS = {
  acknowledge: (alert) => act(alert, "ack", alert.acked_by !== null ? { state: "down" } : {}),
  snooze: (alert) => (isSnoozed(alert) ? act(alert, "snooze", { state: "down" }) : ask(alert)),
  useful: (alert) => judge(alert, "useful"),
  not_useful: (alert) => judge(alert, "not_useful"),
};

const judge = (alert, outcome) => act(alert, "outcome", alert.outcome === outcome ? { state: "down" } : { outcome });

async function ask(alert) {
  const wish = await openSnooze(alert);
  if (wish) await act(alert, "snooze", wish);
}

/** An incident is about a service: it belongs to no customer in whose lane a word could be kept, and ends by itself. */
const takesWords = (alert) => alert.flag !== "service_incident";

/** Do an act from anywhere, if who is here may. */
export function perform(what, alert) {
  const open = alert.closed_at === null;
  if (!mayAct() || !takesWords(alert) || (!open && (what === "acknowledge" || what === "snooze"))) return;
  if (["sending", "sent"].includes(acts.get(alert.alert_id)?.state)) return;
  ACTS[what](alert);
}

function button(alert, what, label, { pressed = null, busy = false, letter = null, named = null } = {}) {
  return h(
    "button",
    {
      type: "button",
      class: pressed ? "button button-small is-on" : "button button-small",
      "data-key": `${alert.alert_id} ${what}`,
      "aria-pressed": pressed === null ? null : String(pressed),
      // Not `disabled`: the focus would be lost, and with it the place in the queue.
      "aria-disabled": busy ? "true" : null,
      "aria-label": named,
      "aria-keyshortcuts": letter,
      on: { click: () => !busy && perform(what, alert) },
    },
    label,
  );
}

/** Buttons of an alert, and what became of the last one. */
export function actButtons(alert) {
  const waiting = acts.get(alert.alert_id);
  const busy = waiting?.state === "sending" || waiting?.state === "sent";
  const open = alert.closed_at === null;
  const acked = alert.acked_by !== null;
  const snoozed = isSnoozed(alert);
  return [
    mayAct() && takesWords(alert) &&
      h(
        "div",
        { class: "acts", role: "group", "aria-label": t("act.group") },
        open && button(alert, "acknowledge", t(acked ? "act.undo" : "act.ack"), { busy, letter: "a", named: acked ? t("act.unack") : null }),
        open && button(alert, "snooze", t(snoozed ? "act.wake" : "act.snooze"), { busy, letter: "s" }),
        button(alert, "useful", t("act.useful"), { busy, letter: "u", pressed: alert.outcome === "useful" }),
        button(alert, "not_useful", t("act.not_useful"), { busy, letter: "n", pressed: alert.outcome === "not_useful" }),
      ),
    waiting &&
      h(
        "p",
        { class: `act-state act-${waiting.state}`, role: waiting.state === "refused" ? "alert" : "status" },
        waiting.text,
      ),
  ];
}
