"""Files through a network of processes: what goes in comes out, in every version."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.demo_tree import add_nasty_cases, compare_trees, copy_tree, is_sparse, remove_tree
from bitdust.cli.testnet import Testnet
from bitdust.cli.testnet_api import NodeApi

Eventually = Callable[..., Any]


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """A folder whose trees are removed whatever modes they have."""
    folder = tmp_path / "work"
    folder.mkdir()
    yield folder
    remove_tree(folder)


def upload(customer: NodeApi, local: Path, remote: str) -> dict[str, Any]:
    result: dict[str, Any] = customer.post(
        "/file/upload/start/v1", local_path=str(local), remote_path=remote, wait_result=True
    )
    return result


def download(customer: NodeApi, remote: str, target: Path) -> Path:
    result = customer.post(
        "/file/download/start/v1",
        remote_path=remote,
        destination_path=str(target),
        wait_result=True,
    )
    assert result["downloaded"] is True
    return Path(result["local_path"])


def folder(customer: NodeApi, remote: str) -> str:
    made = customer.post("/file/create/v1", remote_path=remote, as_folder=True)
    return str(made["path_id"])


def test_a_nasty_tree_comes_back_equal(customer: NodeApi, work: Path) -> None:
    tree = work / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "random").write_bytes(os.urandom(5_000_000))
    (tree / "bin" / "zeros").write_bytes(bytes(3_000_000))
    nasty = add_nasty_cases(tree)
    (Path(os.fsdecode(os.fsencode(nasty) + b"/not \xff\xfe UTF-8"))).write_text("bytes")
    folder(customer, "nasty")
    result = upload(customer, tree, "nasty")
    assert result["state"] == "stored"
    assert result["acks"] == 4
    assert result["may_vanish"] == 2
    assert result["links"] == 4
    restored = download(customer, "nasty", work / "back")
    found = compare_trees(tree, restored)
    assert found.differences == []
    assert found.files == result["files"]
    assert is_sparse(restored / nasty.name / "sparse")


def test_every_version_comes_back_and_little_travels(customer: NodeApi, work: Path) -> None:
    tree = work / "tree"
    tree.mkdir()
    for number in range(20):
        (tree / f"{number}.bin").write_bytes(os.urandom(300_000))
    path_id = folder(customer, "versions")
    results = [upload(customer, tree, "versions")]
    copy_tree(tree, work / "first")
    (tree / "3.bin").write_bytes(os.urandom(1000))
    (tree / "new").write_text("new")
    (tree / "4.bin").unlink()
    results.append(upload(customer, tree, "versions"))
    copy_tree(tree, work / "second")
    results.append(upload(customer, tree, "versions"))
    assert results[0]["new_bytes"] >= 6_000_000
    assert results[1]["new_bytes"] < 50_000
    assert results[1]["stored_bytes"] < results[0]["stored_bytes"] / 20
    assert results[2]["new_bytes"] == 0
    info = customer.get("/file/info/v1", remote_path="versions")
    names = {each["backup_id"].rpartition("/")[2] for each in info["versions"]}
    assert {each["version"] for each in results} <= names
    for result, original in zip(results, ("first", "second", "second"), strict=True):
        restored = download(customer, f"{path_id}/{result['version']}", work / result["version"])
        assert compare_trees(work / original, restored).differences == []


def test_what_is_known_under_another_name_is_not_sent_again(customer: NodeApi, work: Path) -> None:
    data = os.urandom(2_000_000)
    (work / "one").write_bytes(data)
    (work / "other").write_bytes(data)
    first = upload(customer, work / "one", "dedup-one")
    second = upload(customer, work / "other", "dedup-other")
    assert first["new_bytes"] == 2_000_000
    assert second["new_bytes"] == 0
    restored = download(customer, "dedup-other", work / "back")
    assert restored.read_bytes() == data


def test_compressible_data_takes_little_room(customer: NodeApi, work: Path) -> None:
    (work / "text").write_bytes(b"".join(b"line %d of a log\n" % n for n in range(300_000)))
    result = upload(customer, work / "text", "log")
    assert result["stored_bytes"] < result["bytes"] / 2


@pytest.mark.parametrize("size", [0, 1, 65_535, 1_048_576, 16 * 1024 * 1024 + 1, 40_000_000])
def test_sizes_at_the_edges_of_chunks_and_blocks(customer: NodeApi, work: Path, size: int) -> None:
    data = os.urandom(size)
    (work / "file").write_bytes(data)
    result = upload(customer, work / "file", f"sized-{size}")
    assert (result["state"], result["bytes"]) == ("stored", size)
    restored = download(customer, f"sized-{size}", work / "back")
    assert restored.read_bytes() == data


def test_a_download_of_one_file_out_of_a_folder(customer: NodeApi, work: Path) -> None:
    (work / "tree" / "sub").mkdir(parents=True)
    (work / "tree" / "sub" / "one").write_text("this one")
    (work / "tree" / "other").write_bytes(os.urandom(1000))
    folder(customer, "partly")
    upload(customer, work / "tree", "partly")
    restored = download(customer, "partly/sub/one", work / "back")
    assert restored.read_text() == "this one"
    listed = customer.get("/file/list/v1", remote_path="partly")
    assert {"one", "other", "sub"} <= {each["name"] for each in listed}


def test_what_is_there_is_overwritten_and_files_beside_stay(customer: NodeApi, work: Path) -> None:
    (work / "tree").mkdir()
    (work / "tree" / "mine").write_text("from the network")
    folder(customer, "over")
    upload(customer, work / "tree", "over")
    restored = download(customer, "over", work / "back")
    (restored / "mine").write_text("changed since")
    (restored / "beside").write_text("not mine")
    download(customer, "over", work / "back")
    assert (restored / "mine").read_text() == "from the network"
    assert (restored / "beside").read_text() == "not mine"


def test_an_upload_shows_its_progress_and_can_be_stopped(
    customer: NodeApi, work: Path, eventually: Eventually
) -> None:
    with (work / "big").open("wb") as file:
        for _ in range(256):
            file.write(os.urandom(1024 * 1024))
    started = customer.post(
        "/file/upload/start/v1", local_path=str(work / "big"), remote_path="stopped"
    )

    def measured() -> list[dict[str, Any]]:
        running = customer.get("/file/upload/v1")["running"]
        return [each for each in running if each["total_size"]]

    running = eventually(measured)
    assert running[0]["source_path"] == str(work / "big")
    assert running[0]["total_size"] == 256 * 1024 * 1024
    stopped = customer.post("/file/upload/stop/v1", remote_path="stopped")
    assert any(started["version"] in each for each in stopped), stopped
    eventually(lambda: not customer.get("/file/upload/v1")["running"])
    assert customer.get("/file/info/v1", remote_path="stopped")["versions"] == []


def test_a_deleted_file_frees_room_at_the_suppliers(
    network: Testnet, customer: NodeApi, work: Path, eventually: Eventually
) -> None:
    supplier = network.api("supplier-1")

    def used() -> int:
        return int(supplier.get("/space/donated/v1")["used"])

    before = used()
    (work / "file").write_bytes(os.urandom(20_000_000))
    upload(customer, work / "file", "to be deleted")
    assert used() > before + 9_000_000
    customer.post("/file/delete/v1", remote_path="to be deleted")
    eventually(lambda: used() < before + 2_000_000, 30.0)
