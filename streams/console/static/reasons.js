// Why a score is what it is: bars to both sides of the average customer.
import { plot, signedBars } from "./charts.js";
import { chosen, name, signed, t } from "./words.js";

/** Reasons as `{code, weight, text}` or `[code, weight]`, in bars. */
export function reasonBars(reasons, key) {
  const rows = reasons.map((each) => {
    const [code, weight] = Array.isArray(each) ? each : [each.code, each.weight];
    const known = name("reason", code);
    return { label: known === code ? chosen(each.text) || code : known, value: weight, text: signed(weight) };
  });
  return plot({
    title: t("reasons"),
    about: t("reasons.about"),
    key: `reasons ${key}`,
    draw: (width) => signedBars(width, rows),
    columns: [
      { title: t("reason"), cell: (row) => row.label, main: true },
      { title: t("weight"), cell: (row) => row.text, numeric: true },
    ],
    rows,
  });
}
