// Language, and everything whose look depends on it: texts, names, numbers, times.
import { h } from "./dom.js";
import { TEXTS } from "./texts.js";

export const LANGUAGES = ["en", "zh"];
let index = document.documentElement.lang.startsWith("zh") ? 1 : 0;
let formats = new Map();

const keep = (key, value) => {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // Then it holds for this page only.
  }
};

export const kept = (key) => {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
};

export { keep };

/** The language of the page, `en` or `zh`. */
export const language = () => LANGUAGES[index];

/** Choose a language for this browser. */
export function setLanguage(name) {
  index = Math.max(0, LANGUAGES.indexOf(name));
  formats = new Map();
  document.documentElement.lang = index === 1 ? "zh-CN" : "en";
  keep("henji.language", LANGUAGES[index]);
}

function locale() {
  if (index === 1) return "zh-CN";
  return /^en\b/i.test(navigator.language) ? navigator.language : "en-GB";
}

/** A text; `{name}` takes a value, `{n|one|other}` a word by number. An unknown key is a mistake and is shown as it is. */
export function t(key, values = {}) {
  const found = TEXTS[key];
  if (!found) return key;
  return found[index].replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (_, name, one, other) => {
    const value = values[name];
    if (one === undefined) return typeof value === "number" ? number(value) : String(value ?? "");
    return new Intl.PluralRules(locale()).select(value) === "one" ? one : other;
  });
}

/** What a word of the data is called (`name("flag", "sensitive")`); a word that nobody knows is shown as it is. */
export function name(group, raw) {
  if (raw === null || raw === undefined || raw === "") return t("none");
  const key = `${group}.${raw}`;
  return Object.hasOwn(TEXTS, key) ? TEXTS[key][index] : String(raw);
}

/** Of a text in both languages, `{en, zh}`, the one of the page. */
export const chosen = (both) => (both ? (both[language()] ?? both.en ?? "") : "");

function format(kind, options, make = Intl.NumberFormat) {
  const key = `${kind}${JSON.stringify(options)}`;
  if (!formats.has(key)) formats.set(key, new make(locale(), options));
  return formats.get(key);
}

const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

/** A number with at most so many digits after the point; what is missing is a dash. */
export function number(value, digits = 0) {
  return known(value) ? format("n", { maximumFractionDigits: digits }).format(value) : "–";
}

/** A figure with exactly so many digits, to stand under others. */
export function figure(value, digits = 3) {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return known(value) ? format("n", options).format(value) : "–";
}

/** A share of 1 as percent. */
export function percent(value, digits = 0) {
  const options = { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits };
  return known(value) ? format("n", options).format(value) : "–";
}

/** A signed number. */
export function signed(value, digits = 2) {
  const options = { signDisplay: "exceptZero", minimumFractionDigits: digits, maximumFractionDigits: digits };
  return known(value) ? format("n", options).format(value) : "–";
}

const DAY = 86_400_000;

function moment(ms) {
  const date = new Date(ms);
  const year = date.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
  const options = { ...year, month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false };
  return format("d", options, Intl.DateTimeFormat).format(date);
}

/** Date and time to the second, for titles. */
export function exact(ms) {
  return format("d", { dateStyle: "full", timeStyle: "long" }, Intl.DateTimeFormat).format(new Date(ms));
}

/** Hour and minute. */
export function clock(ms) {
  return format("d", { hour: "2-digit", minute: "2-digit", hour12: false }, Intl.DateTimeFormat).format(new Date(ms));
}

/** Day of a date such as 2026-11-28, which is of no time zone. */
export function day(text) {
  const date = new Date(`${text}T00:00:00Z`);
  return format("d", { month: "short", day: "numeric", timeZone: "UTC" }, Intl.DateTimeFormat).format(date);
}

/** Day of a time, short. */
export const dayAt = (ms) => format("d", { month: "short", day: "numeric" }, Intl.DateTimeFormat).format(new Date(ms));

/** Day of a time, with the weekday. */
export function dayOf(ms) {
  const options = { weekday: "short", day: "numeric", month: "short", year: "numeric" };
  return format("d", options, Intl.DateTimeFormat).format(new Date(ms));
}

function span(ms) {
  const size = Math.abs(ms);
  if (size < 3_600_000) return [Math.trunc(ms / 60_000), "minute"];
  if (size < DAY) return [Math.trunc(ms / 3_600_000), "hour"];
  return [Math.trunc(ms / DAY), "day"];
}

/** How long ago, or in how long; within a week. Else the date. */
export function ago(ms, now = Date.now()) {
  const distance = ms - now;
  if (Math.abs(distance) >= 7 * DAY) return moment(ms);
  const [amount, unit] = span(distance);
  if (amount === 0) return t("now");
  const options = { numeric: "always", style: "short" };
  return format("r", options, Intl.RelativeTimeFormat).format(amount, unit);
}

/** How long something takes, in words. */
export function duration(ms) {
  const [amount, unit] = span(ms);
  return format("n", { style: "unit", unit, unitDisplay: "long" }).format(amount);
}

/** An element that shows a time; `relative` ones are kept current by `keepTimes`. */
export function time(ms, relative = false) {
  if (!known(ms)) return h("span", { class: "faint" }, "–");
  const attributes = { datetime: new Date(ms).toISOString(), title: exact(ms), "data-ago": relative ? ms : null };
  return h("time", attributes, relative ? ago(ms) : moment(ms));
}

/** Let relative times grow old. */
export function keepTimes() {
  setInterval(() => {
    for (const each of document.querySelectorAll("time[data-ago]")) {
      const text = ago(Number(each.dataset.ago));
      if (each.textContent !== text) each.textContent = text;
    }
  }, 15_000);
}
