"""What the board shows of the models of one trigger; pure text, no key names of Redis."""

from __future__ import annotations

from collections.abc import Mapping

from engine.model_watch import RECENT_MS, ModelWatch

__all__ = ["model_rows"]


def model_rows(
    watch: ModelWatch, versions: Mapping[str, str], champion: str, balance: Mapping[str, int], now: int
) -> dict[str, dict[str, str]]:
    """Rows of `churn_<trigger>`, `engagement_<trigger>`, `contact_<trigger>`, and `churn_<trigger>:<challenger>`.

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
    churn, engagement, contact = watch.churn, watch.engagement, watch.contact
    figures = {
        "churn": (churn.total(version=version).get(), churn.recent(now, RECENT_MS, version=version).get()),
        "engagement": (engagement.total().get(), engagement.recent(now, RECENT_MS).get()),
        "contact": (contact.total().get(), contact.recent(now, RECENT_MS).get()),
    }
    rows = {}
    for label, (total, recent) in figures.items():
        learned, erased = balance[f"{label}_learned"], balance[f"{label}_erased"]
        row = _figures(total) | {f"recent_{name}": text for name, text in _figures(recent).items()}
        row |= {"taken": str(balance["taken"]), "learned": str(learned), "erased": str(erased)}
        row["pending"] = str(balance["taken"] - learned - erased)
        rows[f"{label}_{trigger}"] = row
    shown = rows[f"churn_{trigger}"]
    shown |= {"model": champion[:64], "version": version}
    for what, (n_alarms, last) in watch.drift.alarms().items():
        if last is not None:
            shown[f"drift_{what}"] = f"{n_alarms},{last.at},{last.before:.4g},{last.after:.4g}"
    for number, (name, its) in enumerate(versions.items()):
        if name != champion and watch.paired:
            row = _figures(watch.churn.total(version=its).get()) | {"model": name[:64], "version": its}
            compared = watch.paired[number].get()
            for figure, value in (("difference", compared.mean), ("difference_se", compared.se_clustered)):
                if value is not None:
                    row[figure] = format(value, ".6g")
            rows[f"churn_{trigger}:{its}"] = row
    return rows


def _figures(figures: Mapping[str, float]) -> dict[str, str]:
    return {name: format(value, ".6g") for name, value in figures.items()}
