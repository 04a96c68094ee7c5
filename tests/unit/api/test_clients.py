"""The clients: a typed method for each operation, connections that stay, jobs that are watched."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from bitdust.api.registry import Registry
from bitdust.client import AsyncClient, Client, Job
from bitdust.client.generate import stale
from bitdust.errors import InvalidInput, NotInCatalog, Stopped


def test_the_generated_methods_are_fresh(registry: Registry) -> None:
    assert stale(registry) == [], "run `python -m bitdust.client.generate`"


def test_every_operation_is_a_method_with_its_parameters_and_defaults(registry: Registry) -> None:
    for entry in registry.operations.values():
        # what has no route answers over WebSocket alone
        for kind in (Client, AsyncClient) if entry.routes else (AsyncClient,):
            method = getattr(kind, entry.name)
            signature = inspect.signature(method)
            given = list(signature.parameters.values())[1:]
            assert [one.name for one in given] == list(entry.parameters)
            for one, parameter in zip(given, entry.parameters.values(), strict=True):
                wanted = inspect.Parameter.empty if parameter.required else parameter.default
                assert one.default == wanted, (entry.name, one.name)
            assert signature.return_annotation is not inspect.Signature.empty
            assert inspect.iscoroutinefunction(method) == (kind is AsyncClient)


async def in_thread(function: Any, *args: Any, **kwargs: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, lambda: function(*args, **kwargs))


async def test_typed_calls_over_http(http: Any, node: Any) -> None:
    del http

    def work() -> None:
        client = Client(node.home)
        assert client.process_health() is None
        option = client.config_set("logs/debug-level", 3)
        assert option["value"] == 3
        assert client.config_get("logs/debug-level") == {
            name: value for name, value in option.items() if name != "old_value"
        }
        assert client.event_send("told", data={"a": [1]})["event_id"] == "told"
        assert client.file_info("0/1", include_uploads=False) == {"called": "file_info"}
        with pytest.raises(InvalidInput, match="remote_path"):
            client.file_info("$@:")

    await in_thread(work)
    assert node.storage.calls[-1][1][1:] == (False, True)


async def test_a_client_in_a_with_block_keeps_its_connection(http: Any, node: Any) -> None:
    del http
    seen: list[Any] = []

    def work() -> None:
        with Client(node.home) as client:
            for _ in range(3):
                client.process_health()
                seen.append(dict(client._kept or {}))
            (connection,) = seen[0].values()
            assert all(list(one.values()) == [connection] for one in seen)
            socket = connection.sock
            assert socket is not None
            # whatever ended the connection meanwhile, the next call goes through
            socket.shutdown(2)
            client.process_health()
            client.process_health()
        assert client._kept is None
        client.process_health()

    await in_thread(work)


async def test_typed_calls_over_websocket(websocket: Any, node: Any) -> None:
    del websocket
    async with AsyncClient(node.home) as client:
        await client.process_health()
        assert (await client.event_send("told", data={"a": 1}))["event_id"] == "told"
        assert await client.events_list() == {"told": 1}
        async for name, data in client.events():
            assert (name, data) == ("told", {"a": 1})
            break
        with pytest.raises(InvalidInput, match="position"):
            await client.supplier_change(position=-1)


async def test_a_job_shows_its_progress_and_its_result(websocket: Any, node: Any) -> None:
    del websocket
    ended = asyncio.Event()
    row = {
        "source_path": "/home/alice/cat.png",
        "bytes_processed": 3,
        "total_size": 4,
        "progress": 75.0,
    }

    async def upload() -> dict[str, Any]:
        await ended.wait()
        return {"state": "stored"}

    node.storage.answers["file_upload_start"] = upload
    node.storage.answers["files_uploads"] = {
        "running": [{**row, "source_path": "/other"}, row],
        "pending": [],
    }
    async with AsyncClient(node.home) as client:
        job = client.file_upload("/home/alice/cat.png", "cat.png")
        assert isinstance(job, Job)
        seen = []
        async for progress in job:
            seen.append((progress.bytes_processed, progress.total_size, progress.percent))
            assert progress.details["source_path"] == "/home/alice/cat.png"
            if len(seen) == 2:
                ended.set()
        assert set(seen) == {(3, 4, 75.0)}
        assert job.done
        assert await job == {"state": "stored"}
        assert node.storage.calls[0][1][2] is True, "it waits for the result"


async def test_jobs_that_fail_or_are_stopped(websocket: Any, node: Any) -> None:
    del websocket
    stopped = asyncio.Event()

    async def download() -> dict[str, Any]:
        await stopped.wait()
        raise Stopped("it was stopped")

    async def stop() -> list[Any]:
        stopped.set()
        return []

    node.storage.answers["file_download_start"] = download
    node.storage.answers["file_download_stop"] = stop
    node.storage.answers["files_downloads"] = []
    async with AsyncClient(node.home) as client:
        job = client.file_download("0/1", "/home/alice")
        assert not job.done
        await job.stop()
        with pytest.raises(Stopped):
            await job
        node.storage.answers["file_download_start"] = NotInCatalog("it is not there")
        job = client.file_download("0/2")
        async for _ in job:
            raise AssertionError("nothing runs")
        with pytest.raises(NotInCatalog):
            await job
