// What surrounds every page: bar, navigation, search, banners.
import { h, rebuild } from "./dom.js";
import { openHelp } from "./dialogs.js";
import { icon } from "./icons.js";
import { live } from "./live.js";
import { tag } from "./parts.js";
import { may, path, post, readSession, session } from "./server.js";
import { keep, kept, language, name, setLanguage, t } from "./words.js";

const DESK = ["alerts", "leaders", "service"];
const HOUSE = ["rules", "models", "operations"];
const ADMIN = ["users", "audit"];

function languageSwitch(render) {
  const select = h(
    "select",
    {
      class: "quiet",
      // In both languages, since who looks for it may not read the other.
      "aria-label": "Language · 语言",
      "data-key": "language",
      on: {
        change: () => {
          setLanguage(select.value);
          document.body.replaceChildren();
          render();
          document.querySelector("[data-key=language]")?.focus({ preventScroll: true });
        },
      },
    },
    h("option", { value: "en", lang: "en", selected: language() === "en" }, "English"),
    h("option", { value: "zh", lang: "zh-CN", selected: language() === "zh" }, "简体中文"),
  );
  return select;
}

function themeSwitch() {
  const now = kept("henji.theme") ?? "auto";
  const select = h(
    "select",
    {
      class: "quiet",
      "aria-label": t("theme"),
      on: {
        change: () => {
          const { value } = select;
          keep("henji.theme", value === "auto" ? null : value);
          if (value === "auto") delete document.documentElement.dataset.theme;
          else document.documentElement.dataset.theme = value;
        },
      },
    },
    ["auto", "light", "dark"].map((each) => h("option", { value: each, selected: each === now }, t(`theme.${each}`))),
  );
  return select;
}

function searchBox() {
  const input = h("input", {
    type: "search",
    id: "search",
    placeholder: t("search"),
    "aria-label": t("search"),
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
    maxlength: "128",
    "aria-keyshortcuts": "/",
  });
  const go = (event) => {
    event.preventDefault();
    const id = input.value.trim();
    if (!id) return;
    input.value = "";
    location.hash = path`#/customer/${id}`;
  };
  return { input, form: h("form", { role: "search", class: "search", on: { submit: go } }, input) };
}

async function leaveSession(signedOut) {
  try {
    await post("logout");
  } finally {
    session.user = null;
    await readSession().catch(() => null);
    location.hash = "#/alerts";
    signedOut();
  }
}

/** Build the shell into the page; returns its parts. */
export function buildShell({ render, signedOut }) {
  const links = new Map();
  const link = (each) => {
    const element = h("a", { href: `#/${each}`, class: "nav-link" }, t(`nav.${each}`));
    links.set(each, element);
    return h("li", {}, element);
  };
  const group = (title, entries) =>
    h("div", { class: "nav-group" }, h("p", { class: "nav-title" }, title), h("ul", {}, entries.map(link)));
  const nav = h(
    "nav",
    { class: "nav", id: "nav", "aria-label": t("nav") },
    group(t("nav.desk"), DESK),
    group(t("nav.house"), HOUSE),
    may("admin") && group(t("nav.admin"), ADMIN),
    h(
      "div",
      { class: "nav-group nav-foot" },
      h("p", { class: "nav-title" }, session.user.name, " · ", name("role", session.user.role)),
      h("ul", {}, link("account")),
      h("button", { type: "button", class: "nav-link", on: { click: () => leaveSession(signedOut) } }, t("logout")),
      h("button", { type: "button", class: "nav-link", on: { click: openHelp } }, t("help.title")),
      h("div", { class: "nav-switches" }, languageSwitch(render), themeSwitch()),
      h("p", { class: "nav-version" }, "henji ", session.version),
    ),
  );
  const setMenu = (open) => {
    document.body.classList.toggle("menu-open", open);
    menu.setAttribute("aria-expanded", String(open));
  };
  const menu = h(
    "button",
    {
      type: "button",
      class: "button menu-button",
      "aria-expanded": "false",
      "aria-controls": "nav",
      on: { click: () => setMenu(menu.getAttribute("aria-expanded") === "false") },
    },
    icon("menu"),
    t("nav.menu"),
  );
  const { input, form } = searchBox();
  const state = h("div", { class: "connection" });
  const banners = h("div", { class: "banners", role: "status" });
  const main = h("main", { id: "main", tabindex: "-1" });
  const skip = h("a", { href: "#main", class: "skip", on: { click: (event) => (event.preventDefault(), main.focus()) } }, t("skip"));
  rebuild(
    document.body,
    skip,
    h("header", { class: "bar" }, menu, h("a", { href: "#/alerts", class: "brand" }, h("span", { class: "brand-word" }, "henji"), h("span", { lang: "zh-CN" }, "痕迹")), form, state),
    h("div", { class: "frame" }, nav, h("div", { class: "content" }, banners, main)),
    h("div", { id: "announce", class: "visually-hidden", role: "status", "aria-live": "polite" }),
  );
  setMenu(false);
  return {
    main,
    banners,
    state,
    search: input,
    closeMenu: () => setMenu(false),
    mark(head) {
      setMenu(false);
      for (const [each, element] of links) {
        if (each === head) element.setAttribute("aria-current", "page");
        else element.removeAttribute("aria-current");
      }
    },
  };
}

buildShell.corner = (render) => h("div", { class: "corner" }, languageSwitch(render), themeSwitch());

/** Say in the shell whether what is shown is current. */
export function banner(shell) {
  const lanes = Object.entries(live.lanes ?? {});
  const lost = live.connection === "lost";
  const bad = (state) => lanes.filter(([, each]) => each === state).map(([lane]) => lane);
  const [stale, unknown] = [bad("stale"), bad("unknown")];
  const which = (found) => (found.length === lanes.length ? t("lanes.all") : t("lanes.some", { lanes: found.join(", ") }));
  const words = [
    lost && h("p", { class: "banner banner-red" }, icon("stale"), h("span", {}, t("banner.lost"))),
    !lost && stale.length > 0 && h("p", { class: "banner banner-amber" }, icon("stale"), h("span", {}, t("banner.stale", { lanes: which(stale) }))),
    !lost && unknown.length > 0 && h("p", { class: "banner banner-amber" }, icon("stale"), h("span", {}, t("banner.unknown", { lanes: which(unknown) }))),
  ];
  const told = JSON.stringify([lost, stale, unknown, lanes.length, language()]);
  if (shell.told !== told) rebuild(shell.banners, words);
  shell.told = told;
  const state = lost ? "lost" : live.connection !== "open" ? "connecting" : stale.length || unknown.length ? "stale" : "live";
  if (shell.stated === state) return;
  shell.stated = state;
  const tones = { live: "green", connecting: "plain", stale: "amber", lost: "red" };
  rebuild(shell.state, tag(t(`connection.${state}`), { tone: tones[state], shape: state === "live" ? "fresh" : "stale" }));
}
