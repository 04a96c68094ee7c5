"""The history of messages: once each, by page, by word."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bitdust.errors import Busy, IntegrityError, InvalidInput
from bitdust.messaging import History, Message
from bitdust.messaging import history as history_module

ALICE, BOB = "alice@id.example.org_8084", "bob@id.example.org_8084"
TALK = "private_" + "ab" * 16
GROUP = f"group_1${ALICE}"


def said(number: int, **changes: Any) -> Message:
    given: dict[str, Any] = {
        "message_id": f"m{number}",
        "conversation_id": TALK,
        "msg_type": "private_message",
        "direction": "incoming",
        "sender": BOB,
        "recipient": ALICE,
        "data": {"message": f"hello number{number}"},
        "time": float(number),
    }
    return Message(**(given | changes))


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[History]:
    with ThreadPoolExecutor(2) as pool:
        history = await History.open(tmp_path / "messages.db", pool)
        yield history
        await history.close()


async def test_a_message_is_kept_once(history: History) -> None:
    assert await history.add(said(1))
    assert not await history.add(said(1, data={"message": "another"}))
    assert await history.page() == [said(1)]


async def test_an_id_of_one_conversation_does_not_hide_a_message_of_another(
    history: History,
) -> None:
    group = said(1, conversation_id=GROUP, msg_type="group_message", recipient=GROUP, sequence=7)
    assert await history.add(said(1))
    assert await history.add(group)
    assert await history.page(GROUP) == [group]


async def test_pages_count_from_the_newest_and_read_forward(history: History) -> None:
    await asyncio.gather(*(history.add(said(n)) for n in range(10)))
    assert [m.message_id for m in await history.page(TALK, limit=3)] == ["m7", "m8", "m9"]
    assert [m.message_id for m in await history.page(TALK, offset=8, limit=5)] == ["m0", "m1"]
    assert await history.page(TALK, "group_message") == []
    assert await history.page("private_unknown") == []
    assert len(await history.page(sender=BOB)) == 10
    assert await history.page(sender=ALICE) == []


async def test_words_find_messages(history: History) -> None:
    await history.add(said(1, data={"message": "Grüße aus Köln", "more": ["deep", {"a": "well"}]}))
    await history.add(said(2, conversation_id=GROUP, msg_type="group_message", recipient=GROUP))
    assert [m.message_id for m in await history.search("gruss")] == []
    assert [m.message_id for m in await history.search("koln aus")] == ["m1"]
    assert [m.message_id for m in await history.search("wel")] == ["m1"]
    assert [m.message_id for m in await history.search("hello", TALK)] == []
    assert [m.message_id for m in await history.search('"hello" OR (')] == []
    assert await history.search('""  ') == []


async def test_conversations_are_told_newest_first(history: History) -> None:
    await history.add(said(1))
    await history.add(said(2, conversation_id=GROUP, msg_type="group_message", recipient=GROUP))
    await history.add(said(3, direction="outgoing", sender=ALICE, recipient=BOB))
    talk, group = await history.conversations()
    assert (talk.conversation_id, talk.peer, talk.events) == (TALK, BOB, 2)
    assert (talk.started, talk.last_updated, talk.last_message_id) == (1.0, 3.0, "m3")
    assert (group.conversation_id, group.peer) == (GROUP, GROUP)
    assert await history.conversations(["group_message"]) == [group]


async def test_only_outgoing_messages_change_their_state(history: History) -> None:
    await history.add(said(1))
    await history.add(said(2, direction="outgoing", sender=ALICE, recipient=BOB, state="waiting"))
    assert not await history.mark("m1", "failed")
    assert await history.mark("m2", "delivered", TALK)
    assert not await history.mark("m2", "delivered")
    found = await history.get(TALK, "m2")
    assert found is not None
    assert found.state == "delivered"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"data": {"message": "x" * 70_000}}, "at most 65536"),
        ({"data": {"message": float("nan")}}, ""),
        ({"message_id": ""}, "message id"),
        ({"sender": "x" * 600}, "longer than"),
        ({"msg_type": "gossip"}, "msg_type"),
    ],
)
async def test_a_message_out_of_bounds_is_refused(
    history: History, changes: dict[str, Any], what: str
) -> None:
    if what:
        with pytest.raises(InvalidInput, match=what):
            await history.add(said(1, **changes))
        assert await history.page() == []
    else:  # JSON has no such number; it is kept as null
        assert await history.add(said(1, **changes))
        assert (await history.page())[0].data == {"message": None}


async def test_one_refused_message_does_not_undo_those_beside_it(history: History) -> None:
    outcomes = await asyncio.gather(
        *(history.add(said(n, message_id="" if n == 3 else f"m{n}")) for n in range(6)),
        return_exceptions=True,
    )
    assert [o for o in outcomes if isinstance(o, InvalidInput)] == [outcomes[3]]
    assert len(await history.page()) == 5


async def test_strangers_cannot_open_conversations_without_end(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "MAX_CONVERSATIONS", 2)
    await history.add(said(1))
    await history.add(said(2, conversation_id="private_2"))
    with pytest.raises(Busy):
        await history.add(said(3, conversation_id="private_3"))
    assert await history.add(said(4))


async def test_the_oldest_messages_of_a_long_talk_go(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "MAX_PER_CONVERSATION", 10)
    monkeypatch.setattr(history_module, "DROP_AT_ONCE", 3)
    for number in range(11):
        await history.add(said(number))
    assert [m.message_id for m in await history.page()] == [f"m{n}" for n in range(3, 11)]
    assert await history.search("number1") == await history.search("number10")
    assert (await history.conversations())[0].events == 8


async def test_it_is_there_after_a_restart_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "messages.db"
    with ThreadPoolExecutor(1) as pool:
        first = await History.open(path, pool)
        await first.add(said(1))
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        await first.close()
        second = await History.open(path, pool)
        assert await second.page() == [said(1)]
        await second.close()


async def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "messages.db"
    path.write_bytes(b"no database at all, " * 400)
    with ThreadPoolExecutor(1) as pool, pytest.raises(IntegrityError, match=r"messages\.db"):
        await History.open(path, pool)


async def test_pages_that_make_no_sense_are_refused(history: History) -> None:
    for given in ({"offset": -1}, {"limit": 0}, {"limit": 100_000}, {"msg_type": "x"}):
        with pytest.raises(InvalidInput):
            await history.page(**given)


async def test_a_group_has_one_order_for_all(history: History) -> None:
    """An own message is written first and gets its place after what others said meanwhile."""

    def of_group(number: int, **changes: Any) -> Message:
        group = {"conversation_id": GROUP, "msg_type": "group_message", "recipient": GROUP}
        return said(number, **(group | changes))

    own = {"direction": "outgoing", "sender": ALICE, "state": "waiting"}
    await history.add(of_group(1, **own))
    await history.add(of_group(2, **own))
    await history.add(of_group(3, sequence=5))
    place = history_module.set_sequence
    await history.database.write(lambda db: place(db, "m1", GROUP, 6))
    await history.add(of_group(4, sequence=7))
    await history.database.write(lambda db: place(db, "m2", GROUP, 8))
    await history.database.write(lambda db: place(db, "unknown", GROUP, 9))
    page = await history.page(GROUP)
    assert [(m.message_id, m.sequence) for m in page] == [
        ("m3", 5),
        ("m1", 6),
        ("m4", 7),
        ("m2", 8),
    ]
    assert [m.message_id for m in await history.search("number1")] == ["m1"]
    assert len(await history.search("hello")) == 4
