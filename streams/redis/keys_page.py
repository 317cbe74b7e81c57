"""The page `docs/redis-keys.md`, made from the catalogue."""

from __future__ import annotations

from collections.abc import Iterator

from streams.redis.catalogue import BOARD_KEYS, CONTRACT, LEDGER_KEYS, KeySpec

__all__ = ["render_markdown"]

_HEAD = f"""# Keys in Redis

Made from `streams/redis/catalogue.py` by `streams.redis.keys_page.render_markdown()`; do not edit.

The board is contract version {CONTRACT}: anyone with a Redis client may read it. Its keys begin with a prefix, `risk:`
unless configured otherwise, `replay:<run>:` for a replay; the names below go without it. A field, key or score that is
missing is *unknown*, never zero. A TTL collects garbage and never means anything. Times are integer milliseconds since
the epoch, UTC.

`<id>` is the customer id, percent-encoded: bytes of its UTF-8 other than `A-Z a-z 0-9 _ . ~ @ : -` become `%XX`.

Is a flag up? It is while `meta`'s `watermark:<lane>`, of the customer's `lane`, is not past the flag's `until`; an
`until` of `null` has no scheduled end.

The channel `alerts:wake` gets a message when alerts went out; it is a wake-up only, the stream is what counts.
"""

_LEDGER = """
## The ledger

What henji needs to go on, written in the same transactions as the board. Nobody else reads it, no release promises its
layout. Its keys carry the lane as hash tag and have no prefix; a replay's, and those of a board under another prefix
than `risk:`, begin with that board's prefix. No key of the ledger has a TTL.
"""


def render_markdown() -> str:
    """The whole page.

    Examples
    --------
    >>> render_markdown().splitlines()[0]
    '# Keys in Redis'
    """
    lines = [_HEAD, "## The board", "", *_table(BOARD_KEYS)]
    for spec in BOARD_KEYS:
        lines += _section(spec)
    lines += [_LEDGER, *_table(LEDGER_KEYS)]
    for spec in LEDGER_KEYS:
        lines += _section(spec)
    return "\n".join(lines) + "\n"


def _table(specs: tuple[KeySpec, ...]) -> Iterator[str]:
    yield "| key | type | TTL | at most | written by | read by |"
    yield "|---|---|---|---|---|---|"
    for spec in specs:
        ttl = f"{spec.ttl_s // 86_400} d" if spec.ttl_s is not None else "none"
        most = str(spec.max_items) if spec.max_items is not None else ""
        yield f"| `{spec.pattern}` | {spec.type} | {ttl} | {most} | {spec.writer} | {spec.reader} |"


def _section(spec: KeySpec) -> Iterator[str]:
    yield ""
    yield f"### `{spec.pattern}`"
    yield ""
    yield spec.what
    if not spec.fields:
        return
    yield ""
    yield f"| {'field' if spec.type in ('hash', 'stream') else 'what'} | meaning | bytes | always |"
    yield "|---|---|--:|---|"
    for field in spec.fields:
        names = ", ".join(f"`{name}`" for name in field.name.split(", "))
        yield f"| {names} | {field.meaning} | {field.max_bytes:,} | {'yes' if field.required else ''} |"


if __name__ == "__main__":
    print(render_markdown(), end="")
