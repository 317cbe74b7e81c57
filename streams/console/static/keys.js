// Single letters for those who work through a queue all day; everything is reachable without them.
import { perform } from "./acts.js";
import { lettersOn, openHelp } from "./dialogs.js";

const ACTS = { a: "acknowledge", s: "snooze", u: "useful", n: "not_useful" };

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]") !== null;

function move(step) {
  const links = [...document.querySelectorAll(".queue .row-link")];
  if (!links.length) return;
  const row = document.activeElement?.closest(".row");
  const at = links.findIndex((link) => row?.contains(link));
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + step, 0), links.length - 1);
  links[next].focus();
  links[next].closest(".row").scrollIntoView({ block: "nearest" });
}

function act(what, context) {
  const row = document.activeElement?.closest("[data-alert], .row");
  const id = row?.dataset.alert ?? row?.querySelector(".row-link")?.dataset.key?.split(" ")[0];
  const alert = id ? context.alertOf?.(id) : context.onlyAlert?.();
  if (alert) perform(what, alert);
  return Boolean(alert);
}

/** Do what a key means, unless somebody writes, a dialog is open, or a modifier makes it the browser's. */
export function handleKeys(event, context, shell) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
  if (document.querySelector("dialog[open]") || typing(event.target) || !shell) return;
  if (event.key === "Escape") {
    shell.closeMenu();
    return;
  }
  if (event.key === "?") {
    event.preventDefault();
    openHelp();
    return;
  }
  if (!lettersOn()) return;
  const current = context();
  if (event.key === "j" || event.key === "k") {
    event.preventDefault();
    move(event.key === "j" ? 1 : -1);
  } else if (event.key === "/") {
    event.preventDefault();
    shell.search.focus();
  } else if (ACTS[event.key] && current && !event.repeat && act(ACTS[event.key], current)) {
    event.preventDefault();
  }
}
