"""Files in chunks: what comes back, and that nothing but the folder for them can be reached."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bitdust.api import chunkfiles
from bitdust.api.chunks import chunk_read, chunk_write
from bitdust.api.registry import build_registry
from bitdust.api.rpc import build_rpc_table
from bitdust.client import Client
from bitdust.errors import AccessDenied, BitdustError, DiskFull, InvalidInput, NotFound

ALL_BYTES = bytes(range(256))


@pytest.fixture
def temp(node: Any) -> Path:
    folder: Path = node.home / "temp"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


async def call(node: Any, name: str, **raw: Any) -> dict[str, Any]:
    """As WebSocket does it, with every parameter checked."""
    from bitdust.api.dispatch import dispatch

    return await dispatch(node, build_registry().named(name), raw)


async def test_what_was_written_is_read_back_with_the_documented_answers(
    node: Any, temp: Path
) -> None:
    first = (await call(node, "chunk_write", data=ALL_BYTES.decode("latin-1")))["result"]
    path = first["path"]
    assert Path(path).parent == temp
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert first == {"path": path, "stats": {"path": path, "count": 1, "bytes": 256}}
    second = (await call(node, "chunk_write", data="end", path=path))["result"]
    assert second["stats"] == {"path": path, "count": 2, "bytes": 259}

    read = (await call(node, "chunk_read", path=path, offset=0, max_size=200))["result"]
    assert read["chunk"].encode("latin-1") == ALL_BYTES[:200]
    assert read["stats"] == {"path": path, "count": 1, "bytes": 200, "offset_last": 200}
    assert "completed" not in read
    rest = (await call(node, "chunk_read", path=path, offset=200))["result"]
    assert rest["chunk"].encode("latin-1") == ALL_BYTES[200:] + b"end"
    assert rest["completed"] is True
    assert rest["stats"] == {"path": path, "count": 2, "bytes": 259, "offset_last": 259}
    past = (await call(node, "chunk_read", path=path, offset=10_000))["result"]
    assert (past["chunk"], past["completed"]) == ("", True)


async def test_chunks_are_told_in_the_envelope_of_models(node: Any, temp: Path) -> None:
    subscription = node.models.bus.subscribe(10)
    path = (await chunk_write(node, b"abc"))["path"]
    await chunk_read(node, path, 0)
    told = [event.data for event in await subscription.collect()]
    assert [(one["name"], one["id"], one["data"]["bytes"]) for one in told] == [
        ("chunk_write", path, 3),
        ("chunk_read", path, 3),
    ]


@pytest.mark.parametrize(
    "path",
    [
        "{home}/metadata/apisecret",
        "{home}/temp/../metadata/apisecret",
        "{home}/temp/./file",
        "{home}/temp//file",
        "{home}/temp/folder/../../metadata/apisecret",
        "{home}/temp/",
        "{home}/temp",
        "{home}/temporary/file",
        "{home}/temp/folder",
        "{home}/temp/link",
        "{home}/temp/hard",
        "{home}/temp/linked/apisecret",
        "{home}/temp/linked/new",
        "{home}/temp/pipe",
        "{home}/temp/keys/1.private",
        "{home}/temp/file/below",
        "{home}/temp/" + "a/" * 20 + "b",
        "/etc/passwd",
    ],
)
async def test_no_path_leads_out_of_the_folder(node: Any, temp: Path, path: str) -> None:
    metadata = node.home / "metadata"
    metadata.mkdir(exist_ok=True)
    secret = metadata / "apisecret"
    secret.write_text("secret")
    (temp / "folder").mkdir()
    (temp / "file").write_text("plain")
    (temp / "keys").mkdir()
    (temp / "keys" / "1.private").write_text("secret")
    (temp / "link").symlink_to(secret)
    (temp / "linked").symlink_to(metadata)
    os.link(secret, temp / "hard")
    os.mkfifo(temp / "pipe")
    (node.home / "temporary").mkdir()
    (node.home / "temporary" / "file").write_text("secret")
    before = {file: file.stat().st_mtime_ns for file in node.home.rglob("*")}
    given = path.format(home=node.home)
    for answer in (
        await call(node, "chunk_read", path=given, offset=0),
        await call(node, "chunk_write", path=given, data="mine"),
    ):
        assert answer["status"] == "ERROR"
        assert answer["code"] == "access_denied", answer
        assert "secret" not in json.dumps(answer).replace("apisecret", "")
    assert secret.read_text() == "secret"
    assert {file: file.stat().st_mtime_ns for file in node.home.rglob("*")} == before


async def test_the_folder_itself_may_not_be_a_link(node: Any, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("not ours")
    node.home.mkdir(exist_ok=True)
    (node.home / "temp").symlink_to(elsewhere)
    with pytest.raises(AccessDenied):
        await chunk_read(node, f"{node.home}/temp/file", 0)
    with pytest.raises(BitdustError):
        await chunk_write(node, b"x", path=f"{node.home}/temp/file")
    assert (elsewhere / "file").read_text() == "not ours"


async def test_parameters_are_bounded(node: Any, temp: Path) -> None:
    (temp / "file").write_bytes(b"x")
    path = str(temp / "file")
    for name, raw in (
        ("chunk_write", {"data": "\u0100", "path": path}),
        ("chunk_write", {"data": "a" * 65537, "path": path}),
        ("chunk_write", {"data": 7, "path": path}),
        ("chunk_write", {"data": "a", "path": "temp/file"}),
        ("chunk_write", {"data": "a", "path": path + "\x00"}),
        ("chunk_read", {"path": path, "offset": -1}),
        ("chunk_read", {"path": path, "offset": 0, "max_size": 0}),
        ("chunk_read", {"path": path, "offset": 0, "max_size": 1 << 20}),
        ("chunk_read", {"path": path}),
    ):
        answer = await call(node, name, **raw)
        assert answer["code"] == "invalid_input", (name, answer)
    huge = await call(node, "chunk_read", path=path, offset=2**63 - 1)
    assert huge["result"]["completed"] is True
    assert (await call(node, "chunk_write", data="a", path="/x\ud800"))["status"] == "ERROR"
    with pytest.raises(NotFound):
        await chunk_read(node, str(temp / "nothing"), 0)
    with pytest.raises(NotFound):
        await chunk_write(node, b"x", path=str(temp / "nothing" / "file"))
    assert (temp / "file").read_bytes() == b"x"


async def test_files_and_disks_have_their_limits(
    node: Any, temp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = (await chunk_write(node, b"12345"))["path"]
    with monkeypatch.context() as patch:
        patch.setattr(chunkfiles, "MAX_FILE", 6)
        with pytest.raises(InvalidInput):
            await chunk_write(node, b"67", path=path)
    with monkeypatch.context() as patch:
        patch.setattr(chunkfiles, "SPARE", 1 << 62)
        with pytest.raises(DiskFull):
            await chunk_write(node, b"67", path=path)
    with monkeypatch.context() as patch:
        patch.setattr(chunkfiles, "MAX_FILES", 1)
        with pytest.raises(DiskFull):
            await chunk_write(node, b"new")
        os.utime(path, (0, 0))  # left behind long ago
        assert (await chunk_write(node, b"new"))["path"] != path
    assert not os.path.exists(path)


async def test_only_the_newest_files_are_counted() -> None:
    counter = chunkfiles.ChunkCounter()
    for number in range(chunkfiles.MAX_COUNTED + 1):
        counter.add("chunk_read", f"/{number}", 1)
    assert counter.add("chunk_read", "/0", 1)["count"] == 1
    assert counter.add("chunk_read", f"/{chunkfiles.MAX_COUNTED}", 1)["count"] == 2


def test_only_web_sockets_have_chunks(tmp_path: Path) -> None:
    methods = build_rpc_table(build_registry()).methods
    assert not {"chunk_read", "chunk_write"} & set(methods)
    with pytest.raises(InvalidInput, match="WebSocket only"):
        Client(tmp_path).call("chunk_read", path="/x", offset=0)
