from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigurationError
from engine.flag_field import flag_field
from streams.redis.keys import BOARD_PREFIX, Keys, decode_id, encode_id

# What an id may be: any text but control characters (and halves of surrogate pairs, which are no text).
IDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=128)


@given(IDS)
def test_an_id_survives_encoding_and_the_key_is_plain(customer_id: str) -> None:
    encoded = encode_id(customer_id)
    assert re.fullmatch(r"[A-Za-z0-9_.~@:%-]+", encoded)
    assert decode_id(encoded) == customer_id


@given(IDS, IDS)
def test_different_ids_have_different_keys(one: str, other: str) -> None:
    assert (Keys().customer(one) == Keys().customer(other)) == (one == other)


@pytest.mark.parametrize("text", ["{1}", "%41", "a b", "%ff", "%e5%AE%A2", "100%"])
def test_what_was_never_encoded_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        decode_id(text)


@given(st.text(st.characters(categories=["Ll"]), min_size=1, max_size=40), st.none() | st.text("abc/界é-", max_size=64))
def test_a_flag_field_is_never_over_64_bytes(flag: str, category: str | None) -> None:
    whole = flag if category is None else f"{flag}/{category}"
    field = flag_field(flag, category)
    assert len(field.encode()) <= 64
    if len(whole.encode()) <= 64:
        assert field == whole
    else:
        kept, _, digest = field.rpartition("~")
        assert whole.startswith(kept)
        assert 40 - 3 <= len(kept.encode()) <= 40
        assert re.fullmatch("[0-9a-f]{16}", digest)


def test_a_field_of_64_bytes_stays_and_one_of_65_is_cut() -> None:
    assert flag_field("f" * 60, "abc") == "f" * 60 + "/abc"
    assert flag_field("f" * 60, "abcd") == "f" * 40 + "~" + flag_field("f" * 60, "abcd")[-16:]


def test_long_fields_that_differ_at_the_end_stay_apart() -> None:
    assert flag_field("repeat_request", "x" * 63 + "a") != flag_field("repeat_request", "x" * 63 + "b")


def test_only_the_live_ledger_has_no_prefix() -> None:
    assert Keys().partition("events", 3) == "henji:{0}:partition:events:3"
    assert Keys("acme:").lane_timers(3) == "acme:henji:{3}:timers"
    replay = Keys.replay("may:{1}")
    assert replay.lane_record(3) == "replay:may%3A%7B1%7D:henji:{3}:lane"
    assert not replay.is_live
    assert replay.alerts != Keys(BOARD_PREFIX).alerts


@pytest.mark.parametrize("prefix", ["", "risk", "ri sk:", "risk*:", "{risk}:", ":", "henji:"])
def test_a_prefix_that_would_change_commands_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match=r"redis\.prefix"):
        Keys(prefix)
