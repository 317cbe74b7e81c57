from __future__ import annotations

from pathlib import Path

from streams.redis.catalogue import BOARD_KEYS, CUSTOMER_FIELDS, LEDGER_KEYS, board_key
from streams.redis.keys import Keys
from streams.redis.keys_page import render_markdown
from streams.redis.partition_record import encode_partition
from tests.streams.redis.samples import BINDING, position

PAGE = Path(__file__).parents[3] / "docs" / "redis-keys.md"


def test_the_page_is_the_catalogue() -> None:
    assert PAGE.read_text() == render_markdown(), "run: python -m streams.redis.keys_page > docs/redis-keys.md"


def test_every_key_of_the_catalogue_is_on_the_page() -> None:
    page = render_markdown()
    assert all(f"### `{spec.pattern}`" in page for spec in (*BOARD_KEYS, *LEDGER_KEYS))


def test_no_field_of_a_customer_is_over_64_bytes() -> None:
    (customer,) = (spec for spec in BOARD_KEYS if spec.name == "customer")
    assert {field.max_bytes for field in customer.fields} == {64}
    assert len(CUSTOMER_FIELDS) == 17


def test_every_name_that_keys_makes_is_in_the_catalogue() -> None:
    keys = Keys()
    made = {
        "customer": keys.customer("c"),
        "why": keys.part("why", "c"),
        "index": keys.index("churn"),
        "alerts": keys.alerts,
        "alert": keys.alert("00"),
        "model": keys.model("churn"),
        "service": keys.service("channel", "phone"),
        "meta": keys.meta,
    }
    for name, key in made.items():
        found = board_key(key.removeprefix(keys.prefix))
        assert found is not None
        assert found[0].name == name


def test_the_partition_record_has_the_fields_of_the_catalogue() -> None:
    (partition,) = (spec for spec in LEDGER_KEYS if spec.name == "partition")
    written = set(encode_partition(BINDING, position(3), 1, 2))
    assert written | {"broken"} == {field.name for field in partition.fields}
