// The shell: navigation, search, banners, routes, keys.
import { h, rebuild } from "./dom.js";
import { handleKeys } from "./keys.js";
import { listen, live, start, stop } from "./live.js";
import { failure } from "./parts.js";
import { showLogin, showSetup } from "./page-login.js";
import { banner, buildShell } from "./shell.js";
import { readSession, session, may, Refusal } from "./server.js";
import { keepTimes, t } from "./words.js";

// [pattern, module, role]: a pattern takes whole segments, the rest are parameters.
const ROUTES = [
  ["alerts", "./page-alerts.js", "viewer"],
  ["alert", "./page-alert.js", "viewer"],
  ["customer", "./page-customer.js", "viewer"],
  ["leaders", "./page-leaders.js", "viewer"],
  ["rules", "./page-rules.js", "viewer"],
  ["service", "./page-service.js", "viewer"],
  ["models", "./page-models.js", "viewer"],
  ["operations", "./page-operations.js", "viewer"],
  ["account", "./page-account.js", "viewer"],
  ["users", "./page-users.js", "admin"],
  ["audit", "./page-audit.js", "admin"],
];

let leave = null;
let shell = null;
let context = null;
let why = null;

function place() {
  const [where, search = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [head = "", ...parameters] = where.split("/").map((each) => {
    try {
      return decodeURIComponent(each);
    } catch {
      return each;
    }
  });
  return { head: head || "alerts", parameters, query: new URLSearchParams(search) };
}

const setTitle = (text) => (document.title = text ? `${text} · henji` : "henji");

function outside(draw) {
  leave?.abort();
  leave = null;
  context = null;
  shell = null;
  stop();
  const root = h("main", { class: "outside", id: "main" });
  rebuild(document.body, root, buildShell.corner(render));
  setTitle(t("login.title"));
  draw(root);
}

/** Show what the address names. `enter`: somebody came here, so the focus goes to the heading. */
async function render({ enter = false } = {}) {
  const { head, parameters, query } = place();
  if (head === "setup" && parameters[0]) return outside((root) => showSetup(root, parameters[0], () => render()));
  if (!session.user) {
    // Why somebody came back from the provider without being let in; anybody can write an address, so only known words.
    const problem = head === "login" ? (query.get("problem") ?? "") : "";
    const told = /^(oidc_[a-z]+|too_many)$/.test(problem) ? t(`error.${problem}`) : null;
    return outside((root) => showLogin(root, () => ((why = null), render()), why ?? told));
  }
  leave?.abort();
  leave = new AbortController();
  const { signal } = leave;
  if (!shell || !document.body.contains(shell.main)) {
    shell = buildShell({ render, signedOut: () => render() });
    start();
  }
  const [, module, role] = ROUTES.find(([name]) => name === head) ?? ROUTES[0];
  shell.mark(head);
  banner(shell);
  const root = h("div", { class: `page page-${head}` });
  context = { root, signal, parameters, query, live, title: setTitle };
  rebuild(shell.main, root);
  scrollTo(0, 0);
  // As soon as there is a heading, unless somebody has gone elsewhere meanwhile.
  const from = document.activeElement;
  const greet = () => {
    const free = document.activeElement === from || document.activeElement === document.body;
    if (enter && !signal.aborted && free) root.querySelector("h1")?.focus({ preventScroll: true });
  };
  if (!may(role)) {
    root.append(h("h1", { tabindex: "-1" }, t("error.forbidden")), h("p", {}, t("forbidden.role")));
    setTitle(t("error.forbidden"));
  } else {
    try {
      const page = await import(module);
      if (signal.aborted) return undefined;
      const shown = page.show(context);
      greet();
      await shown;
    } catch (error) {
      if (signal.aborted) return undefined;
      rebuild(root, failure(error));
      if (!(error instanceof Refusal)) throw error;
    }
  }
  greet();
  return undefined;
}

window.addEventListener("hashchange", () => render({ enter: true }));
window.addEventListener("henji:signed-out", () => {
  why = t("login.ended");
  render();
});
for (const type of ["connection", "input"]) listen(type, () => shell && banner(shell));
document.addEventListener("keydown", (event) => handleKeys(event, () => context, shell));
keepTimes();

async function begin() {
  try {
    await readSession();
  } catch (error) {
    outside((root) => rebuild(root, failure(error, begin)));
    return;
  }
  await render();
}

begin();
