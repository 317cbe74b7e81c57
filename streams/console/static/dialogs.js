// Dialogs: the browser's own element, which keeps the focus inside and closes with Escape.
import { h } from "./dom.js";
import { field } from "./parts.js";
import { name, t, keep, kept } from "./words.js";

function show(dialog) {
  const before = document.activeElement;
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before?.isConnected) before.focus({ preventScroll: true });
      resolve(dialog.returnValue);
    });
    dialog.showModal();
  });
}

function frame(title, ...content) {
  const id = "dialog-title";
  const close = { type: "button", class: "button button-quiet", on: { click: () => dialog.close("") } };
  const dialog = h(
    "dialog",
    { "aria-labelledby": id },
    h("div", { class: "dialog-head" }, h("h2", { id }, title), h("button", close, t("close"))),
    ...content,
  );
  return dialog;
}

const PRESETS = [
  [60, "snooze.1h"],
  [240, "snooze.4h"],
  [1_440, "snooze.1d"],
  [10_080, "snooze.7d"],
];
const MOST_MINUTES = 180 * 1_440;

/** Ask how long and why; `{minutes, reason}`, or `null` if nothing is to happen. */
export async function openSnooze(alert) {
  const preset = (minutes, key, checked) =>
    h(
      "label",
      { class: "choice" },
      h("input", { type: "radio", name: "minutes", value: String(minutes), checked }),
      h("span", {}, t(key)),
    );
  const custom = h("input", { type: "number", min: "1", max: "180", step: "1", value: "30", inputmode: "numeric" });
  const unit = h(
    "select",
    { "aria-label": t("snooze.unit") },
    h("option", { value: "1440" }, t("snooze.days")),
    h("option", { value: "60" }, t("snooze.hours")),
  );
  const own = h("input", { type: "radio", name: "minutes", value: "own" });
  for (const each of [custom, unit]) each.addEventListener("input", () => (own.checked = true));
  unit.addEventListener("input", () => (custom.max = String(MOST_MINUTES / Number(unit.value))));
  const reason = h("textarea", { name: "reason", required: true, maxlength: "500", rows: "3" });
  custom.setAttribute("aria-label", t("snooze.custom"));
  let wish = null;
  const form = h(
    "form",
    {
      method: "dialog",
      on: {
        submit: (event) => {
          event.preventDefault();
          if (own.checked && !custom.reportValidity()) return;
          const chosen = new FormData(form).get("minutes");
          const minutes = chosen === "own" ? Number(custom.value) * Number(unit.value) : Number(chosen);
          const text = reason.value.trim();
          if (!text) {
            reason.setCustomValidity(t("snooze.reason_needed"));
            reason.reportValidity();
            return;
          }
          wish = { minutes: Math.min(Math.max(1, Math.round(minutes)), MOST_MINUTES), reason: text };
          dialog.close("ok");
        },
      },
    },
    h("p", { class: "dialog-about" }, name("flag", alert.flag), " · ", h("span", { class: "id" }, alert.customer_id)),
    h(
      "fieldset",
      {},
      h("legend", {}, t("snooze.how_long")),
      h("div", { class: "choices" }, PRESETS.map(([minutes, key], i) => preset(minutes, key, i === 0))),
      h("div", { class: "choice own" }, h("label", { class: "choice" }, own, h("span", {}, t("snooze.custom"))), custom, unit),
    ),
    field(t("snooze.reason"), reason, t("snooze.reason_hint")),
    h("div", { class: "dialog-acts" }, h("button", { class: "button button-primary" }, t("act.snooze"))),
  );
  reason.addEventListener("input", () => reason.setCustomValidity(""));
  const dialog = frame(t("snooze.title"), form);
  await show(dialog);
  return wish;
}

/** Whether single letters act; some people dictate, or use letters for other things. */
export const lettersOn = () => kept("henji.letters") !== "off";

/** The keys, and a switch for them. */
export function openHelp() {
  const keys = [
    ["j", "help.next"],
    ["k", "help.previous"],
    ["Enter", "help.open"],
    ["a", "help.acknowledge"],
    ["s", "help.snooze"],
    ["u", "help.useful"],
    ["n", "help.not_useful"],
    ["/", "help.search"],
    ["?", "help.help"],
    ["Esc", "help.escape"],
  ];
  const letters = h("input", {
    type: "checkbox",
    checked: lettersOn(),
    on: { change: () => keep("henji.letters", letters.checked ? null : "off") },
  });
  const dialog = frame(
    t("help.title"),
    h("dl", { class: "keys" }, keys.map(([key, text]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, t(text))))),
    h("label", { class: "choice" }, letters, h("span", {}, t("help.letters"))),
  );
  if (!document.querySelector("dialog[open]")) show(dialog);
}

/** Ask before something that is not easily undone. */
export async function confirmed(title, text, label) {
  let sure = false;
  const yes = { type: "button", class: "button button-danger", on: { click: () => ((sure = true), dialog.close("ok")) } };
  const dialog = frame(title, h("p", {}, text), h("div", { class: "dialog-acts" }, h("button", yes, label)));
  await show(dialog);
  return sure;
}
