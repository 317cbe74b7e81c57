"""What the board shows of the models of one trigger; pure text, no key names of Redis."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from engine.model_watch import RECENT_MS, ModelWatch
from models.metrics import ClassificationMetrics

__all__ = ["challenger_row", "model_rows", "reliability"]


def challenger_row(trigger: str, version: str) -> str:
    """Name of the row of a churn model that is not shown.

    Examples
    --------
    >>> challenger_row("event", "dense-logistic-1")
    'churn_event:dense-logistic-1'
    """
    return f"churn_{trigger}:{version}"


def reliability(metrics: ClassificationMetrics) -> str:
    """The reliability table as JSON: for each tenth of the scale `[n, mean prediction, share]`, `null` where n is 0.

    Examples
    --------
    >>> metrics = ClassificationMetrics()
    >>> metrics.update(0.05, True)
    >>> reliability(metrics)
    '[[1,0.05,1.0],null,null,null,null,null,null,null,null,null]'
    """
    table = [d and [d.n, round(d.mean_p, 4), round(d.share, 4)] for d in metrics.reliability()]
    return orjson.dumps(table).decode()


def model_rows(
    watch: ModelWatch, versions: Mapping[str, str], champion: str, balance: Mapping[str, int], now: int
) -> dict[str, dict[str, str]]:
    """Rows of `churn_<trigger>`, `engagement_<trigger>`, `contact_<trigger>`, and of challengers (`challenger_row`).

    The row that the champion would have as a challenger is there and empty, so that nothing stays from the time when it
    was one.

    Parameters
    ----------
    watch
        Metrics, comparisons and drift.
    versions
        Name of a churn model -> version, in their order.
    champion
        The one that is shown.
    balance
        Examples taken, learned and erased by label.
    now
        Lane clock, ms.
    """
    trigger = watch.trigger
    version = versions[champion]
    rows: dict[str, dict[str, str]] = {}
    for label in ("churn", "engagement", "contact"):
        learned, erased = balance[f"{label}_learned"], balance[f"{label}_erased"]
        row = _figures(watch, label, version if label == "churn" else None, now)
        row |= {"taken": str(balance["taken"]), "learned": str(learned), "erased": str(erased)}
        row["pending"] = str(balance["taken"] - learned - erased)
        rows[f"{label}_{trigger}"] = row
    numbers = {name: number for number, name in enumerate(versions)}
    shown = rows[f"churn_{trigger}"]
    shown |= {"model": champion[:64], "version": version, "number": str(numbers[champion])}
    for what, (n_alarms, last) in watch.drift.alarms().items():
        if last is not None:
            shown[f"drift_{what}"] = f"{n_alarms},{last.at},{last.before:.4g},{last.after:.4g}"
    for name, its in versions.items() if watch.paired else ():
        row = rows[challenger_row(trigger, its)] = {}
        if name == champion:
            continue
        row |= _figures(watch, "churn", its, now)
        row |= {"model": name[:64], "version": its, "number": str(numbers[name])}
        compared = watch.paired[numbers[name]].get()
        for figure, value in (("difference", compared.mean), ("difference_se", compared.se_clustered)):
            if value is not None:
                row[figure] = format(value, ".6g")
    return rows


def _figures(watch: ModelWatch, label: str, version: str | None, now: int) -> dict[str, str]:
    """Figures of all time and of late, and the reliability of a probability; read anew only if they may be others."""
    book = watch.books()[label]
    read_at = (book.revision, book.span(now, RECENT_MS))
    kept = watch.kept.get((label, version))
    if kept is None or kept[0] != read_at:
        total = book.total(version=version)
        row = {name: format(value, ".6g") for name, value in total.get().items()}
        late = book.recent(now, RECENT_MS, version=version).get()
        row |= {f"recent_{name}": format(value, ".6g") for name, value in late.items()}
        if isinstance(total, ClassificationMetrics):
            row["reliability"] = reliability(total)
        kept = watch.kept[label, version] = (read_at, row)
    return dict(kept[1])
