"""The page's texts: both languages have every one, each is used, and none that is used is missing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import streams.console

STATIC = Path(streams.console.__file__).parent / "static"
ENTRY = re.compile(r'^  ("[^"]+"): (\[.*\]),$')
CALL = re.compile(r"""\bt\(\s*(?:"([^"]+)"|`([^`]+)`|(\w+)\s*\?\s*"([^"]+)"\s*:\s*"([^"]+)")""")
NAMED = re.compile(r"""\bname\(\s*"([^"]+)\"""")
QUOTED = re.compile(r'"([a-z_]+(?:\.[a-z0-9_:]+)+)"')
PLACE = re.compile(r"\{(\w+)(?:\|[^}]*)?\}")


def texts() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (STATIC / "texts.js").read_text(encoding="utf-8").splitlines():
        if match := ENTRY.match(line):
            key = json.loads(match[1])
            assert key not in found, f"twice: {key}"
            found[key] = json.loads(match[2])
    return found


def code() -> str:
    return "\n".join(
        path.read_text(encoding="utf-8") for path in sorted(STATIC.glob("*.js")) if path.name != "texts.js"
    )


TEXTS = texts()


def called() -> tuple[set[str], set[str]]:
    """Keys that code names, and patterns of keys that it puts together."""
    keys: set[str] = set()
    patterns: set[str] = set()
    source = code()
    for match in CALL.finditer(source):
        literal, template, _, one, other = match.groups()
        keys.update(each for each in (literal, one, other) if each)
        if template:
            patterns.add(re.sub(r"\\\$\\\{.*?\\\}", "[a-z_0-9]+", re.escape(template)))
    patterns.update(f"{re.escape(group)}\\..+" for group in NAMED.findall(source))
    # Keys in tables of the code, such as those of the help.
    keys.update(each for each in QUOTED.findall(source) if each in TEXTS)
    return keys, patterns


def test_each_text_is_there_in_both_languages_with_the_same_places() -> None:
    for key, (english, chinese) in TEXTS.items():
        assert english.strip(), key
        assert chinese.strip(), key
        assert set(PLACE.findall(english)) == set(PLACE.findall(chinese)), key


def test_every_text_that_the_page_names_is_there() -> None:
    keys, _ = called()
    assert keys - TEXTS.keys() == set()


def test_no_text_is_without_use() -> None:
    keys, patterns = called()
    known = re.compile("|".join(sorted(patterns)))
    tern = set(re.findall(r'[?:]\s*"([a-z_.]+)"', code()))
    assert {key for key in TEXTS if key not in keys | tern and not known.fullmatch(key)} == set()


def test_page_makes_no_markup_out_of_text_and_asks_nobody_else() -> None:
    source = code()
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert forbidden not in source, forbidden
    # Names of XML, not addresses.
    assert set(re.findall(r"https?://[^\"' ]+", source)) <= {"http://www.w3.org/2000/svg"}
