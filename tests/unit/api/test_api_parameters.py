"""Raw parameters become typed ones, or one error that names each of those that do not fit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitdust.api.parameters import Context, InvalidParameters, Target, kind_of
from bitdust.api.registry import GET, Registry, build_registry, operation
from bitdust.errors import NoIdentity
from bitdust.ids import BackupID, GlobalID, KeyID, PathID, RemotePath

ALICE = GlobalID("alice", "server-a.com")
OWN = Context(ALICE)
WORDS = Context(ALICE, textual=True)


@operation(GET("/sample/call/v1"), aliases={"path": "remote_path"}, ignored=("instant",))
async def sample(
    node: Node,  # type: ignore[name-defined]  # noqa: F821
    remote_path: Target,
    *,
    count: int = 1,
    ratio: float = 0.5,
    flag: bool = False,
    text: str = "",
    names: list[str] | None = None,
    key_id: KeyID | None = None,
    user_id: GlobalID | None = None,
) -> None:
    """Sample."""


def bound(context: Context = OWN, **raw: Any) -> dict[str, Any]:
    return sample.bind({"remote_path": "0/1", **raw}, context)


def errors_of(context: Context = OWN, **raw: Any) -> list[str]:
    with pytest.raises(InvalidParameters) as caught:
        bound(context, **raw)
    return caught.value.errors


def test_defaults_and_types() -> None:
    assert bound() == {
        "remote_path": PathID((0, 1)),
        "count": 1,
        "ratio": 0.5,
        "flag": False,
        "text": "",
        "names": None,
        "key_id": None,
        "user_id": None,
    }


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("0/0/1", PathID((0, 0, 1))),
        ("master$alice@server-a.com:cat.png", RemotePath(ALICE.key(), "cat.png")),
        (
            "photos$bob@host_8084:a/b",
            RemotePath(GlobalID("bob", "host", 8084).key("photos"), "a/b"),
        ),
        ("pictures/cat.png", RemotePath(ALICE.key(), "pictures/cat.png")),
        (
            "master$alice@server-a.com:0/1/F20160424013912PM",
            BackupID(ALICE.key(), PathID((0, 1)), "F20160424013912PM"),
        ),
        ("0/1/F20160424013912PM", BackupID(ALICE.key(), PathID((0, 1)), "F20160424013912PM")),
        (
            "docs/F20160424013912PM",
            RemotePath(ALICE.key(), "docs/F20160424013912PM"),
        ),
    ],
)
def test_targets(text: str, target: Target) -> None:
    assert bound(remote_path=text)["remote_path"] == target


@pytest.mark.parametrize("raw", [True, 1, "1", "true", "True", "yes", "Yes", "YES", "ok"])
def test_truthy_words(raw: object) -> None:
    assert bound(WORDS, flag=raw)["flag"] is True


@pytest.mark.parametrize("raw", [False, 0, "0", "false", "no", ""])
def test_falsy_words(raw: object) -> None:
    assert bound(WORDS, flag=raw)["flag"] is False


def test_words_become_numbers_lists_and_names() -> None:
    arguments = bound(
        WORDS,
        count="-7",
        ratio="1.25",
        names="tcp, udp,proxy",
        key_id="photos",
        user_id="http://computer-c.net/carol.xml",
    )
    assert arguments["count"] == -7
    assert arguments["ratio"] == 1.25
    assert arguments["names"] == ["tcp", "udp", "proxy"]
    assert arguments["key_id"] == ALICE.key("photos")
    assert arguments["user_id"] == GlobalID("carol", "computer-c.net")


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("remote_path", 5),
        ("remote_path", ["0/1"]),
        ("remote_path", "a\x00b"),
        ("remote_path", "x/../y"),
        ("remote_path", "x" * 70000),
        ("remote_path", "\ud800"),
        ("count", "seven"),
        ("count", 1.5),
        ("count", True),
        ("count", "9" * 5000),
        ("count", 2**70),
        ("ratio", "nan"),
        ("ratio", float("inf")),
        ("ratio", {}),
        ("ratio", 10**400),
        ("flag", "perhaps"),
        ("flag", 2),
        ("flag", [True]),
        ("flag", 10**400),
        ("text", 12),
        ("text", {"a": 1}),
        ("names", 7),
        ("names", ["a", 1]),
        ("names", ["a"] * 1001),
        ("key_id", "a b$alice@host"),
        ("user_id", "alice"),
        ("user_id", b"\xff"),
    ],
)
def test_what_does_not_fit_is_named(name: str, raw: object) -> None:
    errors = errors_of(**{name: raw})
    assert len(errors) == 1
    assert errors[0].startswith(f"{name}: ")
    assert len(errors[0]) < 500


def test_all_problems_are_listed_at_once() -> None:
    with pytest.raises(InvalidParameters) as caught:
        sample.bind({"count": "x", "flagg": 1}, OWN)
    assert sorted(caught.value.errors) == [
        "count: must be a whole number",
        "flagg: unknown parameter",
        "remote_path: missing",
    ]
    assert caught.value.hint == "did you mean flag?"


def test_null_means_the_default_but_not_for_required_parameters() -> None:
    assert bound(count=None)["count"] == 1
    assert errors_of(remote_path=None) == ["remote_path: missing"]


def test_other_spellings_and_ignored_parameters() -> None:
    assert sample.bind({"path": "0/1", "instant": "1"}, OWN)["remote_path"] == PathID((0, 1))
    assert errors_of(path="0/2") == ["remote_path: given twice"]


def test_without_an_identity_a_path_needs_its_key() -> None:
    with pytest.raises(NoIdentity):
        sample.bind({"remote_path": "cat.png"}, Context())
    assert sample.bind({"remote_path": "master$a@b.c:cat.png"}, Context())
    # what is wrong whoever one is comes first
    with pytest.raises(InvalidParameters, match="count"):
        sample.bind({"remote_path": "cat.png", "count": "many"}, Context())


def test_annotations_that_operations_may_not_use() -> None:
    with pytest.raises(TypeError):
        kind_of(dict[str, int])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(list(build_registry().operations)), st.data())
def test_any_input_to_any_operation_is_taken_or_refused_by_name(name: str, data: Any) -> None:
    called = build_registry().operations[name]
    keys = st.sampled_from([*called.parameters, "surprise"])
    raw = data.draw(st.dictionaries(keys, JSON, max_size=4))
    textual = data.draw(st.booleans())
    errors: list[str] = []
    try:
        called.bind(raw, Context(ALICE, textual))
    except InvalidParameters as exc:
        errors = exc.errors
    for error in errors:
        assert error.partition(":")[0] in {*called.parameters, *raw}


def test_deep_json_is_refused(registry: Registry) -> None:
    deep: Any = None
    for _ in range(100):
        deep = [deep]
    with pytest.raises(InvalidParameters) as caught:
        registry.named("dht_value_set").bind({"key": "a", "value": deep}, OWN)
    assert caught.value.errors == ["value: is nested deeper than 64 levels"]
