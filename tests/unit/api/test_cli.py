"""The command line in processes of its own, against a server that runs here."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitdust.cli.progress import find_job
from bitdust.config import Settings
from bitdust.daemon import HomeLock
from bitdust.errors import DataUnavailable, NotInCatalog
from bitdust.ids import GlobalID
from bitdust.servers import HttpServer

ALICE = GlobalID("alice", "server-a.com").key()
UNUSED_PORT = "1"
"""Nobody listens on it without special rights."""


@dataclass
class Ended:
    code: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


async def bitdust(home: Path, *words: str, stdin: bytes = b"", **environment: str) -> Ended:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from bitdust.cli.main import main; main()",
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "BITDUST_HOME": str(home), **environment},
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def test_init_makes_a_home(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    ended = await bitdust(home, "init", "--set", "services/supplier/donated-space=2GB", "--json")
    assert ended.code == 0
    secret = Path(ended.envelope["result"]["api_secret_file"])
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    before = secret.read_text()
    assert Settings(home).get_int("services/supplier/donated-space") == 2 * 1024**3
    assert (await bitdust(home, "init")).code == 0
    assert secret.read_text() == before


async def test_init_with_a_wrong_setting_makes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ended = await bitdust(home, "init", "--set", "services/customer/suppliers-number=5")
    assert ended.code == 2
    assert ended.err.startswith("error: services/customer/suppliers-number: '5' is not one of")
    assert not home.exists()


async def test_settings_without_a_daemon(tmp_path: Path) -> None:
    await bitdust(tmp_path, "init", "--set", f"interface/api/rest-http-port={UNUSED_PORT}")
    key = "services/customer/suppliers-number"
    ended = await bitdust(tmp_path, "config", "set", key, "7", "--json")
    assert (ended.code, ended.envelope["result"]["old_value"]) == (0, 4)
    ended = await bitdust(tmp_path, "set", key, "2")
    assert ended.code == 0
    ended = await bitdust(tmp_path, "--json", "config", "get", key)
    assert ended.envelope["result"]["value"] == 2
    ended = await bitdust(tmp_path, "config", "list")
    assert key in ended.out
    ended = await bitdust(tmp_path, "config", "get", "services/custmer/suppliers-number", "--json")
    assert ended.code == 2
    assert ended.envelope["code"] == "invalid_setting"
    assert f"hint: did you mean {key}" in ended.err


async def test_a_damaged_settings_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config" / "services" / "supplier" / "donated-space"
    path.parent.mkdir(parents=True)
    path.write_text("very much")
    ended = await bitdust(tmp_path, "init")
    assert ended.code == 2
    assert str(path) in ended.err
    assert "hint: correct the file" in ended.err
    assert path.read_text() == "very much"


async def test_no_daemon(tmp_path: Path) -> None:
    ended = await bitdust(tmp_path / "home", "key", "list", "--json")
    assert (ended.code, ended.envelope["code"]) == (8, "not_running")
    assert "hint: start it with `bitdust daemon`" in ended.err
    await bitdust(tmp_path, "init", "--set", f"interface/api/rest-http-port={UNUSED_PORT}")
    assert (await bitdust(tmp_path, "stop")).code == 8


async def test_wrong_usage(tmp_path: Path) -> None:
    for words, line in (
        (["frobnicate"], "error: No such command 'frobnicate'."),
        (["file", "info"], "error: Missing argument 'REMOTE_PATH'."),
        (["api", "process_health", "nothing"], "error: Invalid value: 'nothing' is neither"),
        (["dht", "value", "set", "key", "{bad"], "error: Invalid value: '{bad' is not JSON"),
        (["daemon", "--foreground", "--detach"], "error: --foreground and --detach exclude"),
    ):
        ended = await bitdust(tmp_path, *words)
        assert ended.code == 2, words
        assert ended.err.startswith(line), ended.err
        assert ended.out == ""


async def test_help_version_and_completion(tmp_path: Path) -> None:
    ended = await bitdust(tmp_path, "--help")
    assert ended.code == 0
    for word in ("init", "daemon", "file", "identity", "dht", "testnet", "demo"):
        assert f"\n  {word} " in ended.out
    ended = await bitdust(tmp_path, "file", "download", "--help")
    assert "REMOTE_PATH" in ended.out
    assert "--destination-path" in ended.out
    assert (await bitdust(tmp_path, "--version")).out.startswith("bitdust 0.")
    assert (await bitdust(tmp_path, "version", "--json")).envelope["result"]["version"]
    assert "_BITDUST_COMPLETE" in (await bitdust(tmp_path, "completion", "bash")).out
    ended = await bitdust(
        tmp_path,
        _BITDUST_COMPLETE="bash_complete",
        COMP_WORDS="bitdust file up",
        COMP_CWORD="2",
    )
    assert ended.out.split() == ["plain,upload", "plain,upload-stop", "plain,uploads"]
    assert "file_info(remote_path" in (await bitdust(tmp_path, "api")).out


async def test_calls_reach_the_node(http: Any, node: Any) -> None:
    del http
    ended = await bitdust(node.home, "process", "health")
    assert (ended.code, ended.out, ended.err) == (0, "", "ok\n")
    ended = await bitdust(node.home, "api", "event_send", "event_id=abc", 'data:={"a": 1}')
    assert (ended.code, node.events.counts) == (0, {"abc": 1})
    ended = await bitdust(node.home, "config", "get", "personal/private-key-size")
    assert "3072" in ended.out
    ended = await bitdust(node.home, "stop", "--no-wait")
    assert (ended.code, node.stops) == (0, [False])


async def test_tables_json_and_odd_names(http: Any, node: Any) -> None:
    del http
    rows = [
        {"type": "file", "size": 1536, "path_id": "0/1", "remote_path": "a:evil\x1b[31m\n\udce9"},
        {"type": "dir", "size": -1, "path_id": "0/2", "remote_path": "a:docs"},
    ]
    node.storage.answers["files_list"] = (rows, 1, False)
    ended = await bitdust(node.home, "file", "list")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].split() == ["type", "size", "path", "id", "remote", "path"]
    assert "1.5 KB" in lines[1]
    assert "\x1b" not in ended.out
    assert len(lines) == 3
    ended = await bitdust(node.home, "file", "list", "docs", "--json")
    assert ended.envelope["result"][0]["remote_path"] == "a:evil\x1b[31m\n\udce9"
    assert str(node.storage.calls[-1][1][0]) == "master$alice@server-a.com:docs"


async def test_long_values_are_shortened_for_people_only(http: Any, node: Any) -> None:
    del http
    node.storage.answers["file_info"] = {"path": "a" * 300, "nothing": None, "sub": {"n": [1, 2]}}
    ended = await bitdust(node.home, "file", "info", "x")
    assert "path     " + "a" * 119 + "…\n" in ended.out
    assert "nothing  -" in ended.out
    assert "sub:\n  n  1, 2" in ended.out
    ended = await bitdust(node.home, "file", "info", "x", "--json")
    assert ended.envelope["result"]["path"] == "a" * 300


async def test_errors_have_documented_exit_codes(http: Any, node: Any) -> None:
    node.storage.answers["file_info"] = NotInCatalog("no such item")
    ended = await bitdust(node.home, "file", "info", "cat.png")
    assert ended.code == 3
    assert ended.err.splitlines() == [
        "error: no such item",
        "hint: list what is there with `bitdust file list`",
    ]
    node.storage.answers["file_info"] = RuntimeError("detail")
    ended = await bitdust(node.home, "file", "info", "cat.png", "--json")
    assert (ended.code, ended.envelope["code"]) == (1, "internal")
    ended = await bitdust(node.home, "file", "info", "a/../b")
    assert ended.code == 2
    assert ended.err.startswith("error: remote_path: ")
    (node.home / "metadata" / "apisecret").write_text("x" * 32)
    ended = await bitdust(node.home, "file", "info", "cat.png")
    assert ended.code == 8, "nobody holds this home, so it is another one's node that answers"
    ended = await bitdust(node.home, "config", "get", "personal/private-key-size")
    assert ended.code == 0
    lock = HomeLock(node.home)
    ended = await bitdust(node.home, "file", "info", "cat.png")
    lock.release()
    assert ended.code == 6
    assert "another home" in ended.err
    assert http.secret not in ended.err


async def test_uploads_and_downloads_are_waited_for(http: Any, node: Any, tmp_path: Path) -> None:
    del http
    ended = await bitdust(node.home, "file", "upload", "relative.txt", "docs/a.txt")
    assert ended.code == 0
    name, arguments = node.storage.calls[-1]
    assert name == "file_upload_start"
    assert arguments[0] == str(Path.cwd() / "relative.txt")
    assert arguments[2] is True
    await bitdust(node.home, "file", "upload", "/tmp/x", "docs", "--no-wait")
    assert node.storage.calls[-1][1][2] is False
    await bitdust(node.home, "file", "download", "docs", str(tmp_path))
    assert node.storage.calls[-1][1][1:3] == (str(tmp_path), True)
    node.storage.answers["file_download_start"] = DataUnavailable("1 of 4 suppliers is left")
    ended = await bitdust(node.home, "file", "download", "docs", "--destination-path", "/tmp/d")
    assert (ended.code, ended.err.splitlines()[0]) == (18, "error: 1 of 4 suppliers is left")
    assert node.storage.calls[-1][1][1] == "/tmp/d"


class SlowUpload:
    """An upload that runs until it is released, and is asked about meanwhile."""

    def __init__(self, node: Any) -> None:
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.asked = asyncio.Event()
        node.storage.answers["file_upload_start"] = self.run
        node.storage.answers["files_uploads"] = self.ask

    async def run(self) -> dict[str, Any]:
        self.started.set()
        await self.release.wait()
        return {"version": "0/1/F20160424013912PM"}

    async def ask(self) -> dict[str, Any]:
        self.asked.set()
        job = {"remote_path": f"{ALICE}:docs", "bytes_processed": 512, "total_size": 1024}
        return {"running": [{**job, "block_number": 3}], "pending": []}


async def test_a_terminal_sees_the_progress(http: Any, node: Any) -> None:
    del http
    upload = SlowUpload(node)
    ours, theirs = pty.openpty()
    # whoever runs the tests in the background may have handed down that interrupts are ignored
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from bitdust.cli.main import main; main()"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, "file", "upload", "/tmp/x", "docs"),
        stdout=asyncio.subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "BITDUST_HOME": str(node.home), "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    seen = ""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(30):
        await upload.asked.wait()
        while "50.0 %" not in seen:
            seen += (await loop.run_in_executor(None, os.read, ours, 4096)).decode()
        upload.release.set()
        drained = loop.run_in_executor(None, _drain, ours)
        assert process.stdout is not None
        out = await process.stdout.read()
        assert await process.wait() == 0
        await drained
    assert "upload, block 3" in seen
    assert out == b"version  0/1/F20160424013912PM\n"
    os.close(ours)


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except OSError:  # the other end of a pseudo terminal is gone
        return


async def test_an_interrupted_wait_leaves_the_upload_running(http: Any, node: Any) -> None:
    del http
    upload = SlowUpload(node)
    # whoever runs the tests in the background may have handed down that interrupts are ignored
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from bitdust.cli.main import main; main()"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, "file", "upload", "/tmp/x", "docs"),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "BITDUST_HOME": str(node.home)},
    )
    async with asyncio.timeout(30):
        await upload.started.wait()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert b"goes on in the daemon" in err
    assert b"bitdust file upload-stop" in err
    upload.release.set()


async def test_files_are_read_for_parameters_that_come_from_files(
    http: Any, node: Any, tmp_path: Path
) -> None:
    del http
    texts: list[str] = []
    phrases: list[str | None] = []

    async def recover(text: str, known: object, passphrase: str | None) -> None:
        del known
        texts.append(text)
        phrases.append(passphrase)

    node.recover_identity = recover
    backup = tmp_path / "alice.key"
    backup.write_text("http://a/b.xml\nKEY")
    ended = await bitdust(node.home, "identity", "recover", str(backup))
    assert ended.code == 7, "the fake has no identity to show afterwards"
    await bitdust(node.home, "identity", "recover", "-", stdin=b"from standard input")
    assert texts == ["http://a/b.xml\nKEY", "from standard input"]
    secret = tmp_path / "passphrase"
    secret.write_text("open sesame\n")
    words = ("identity", "recover", str(backup), "--passphrase", str(secret))
    await bitdust(node.home, *words)
    assert phrases == [None, None, "open sesame"], "only the name of the file is in the arguments"
    ended = await bitdust(node.home, "identity", "recover", str(tmp_path / "missing"))
    assert ended.code == 5


async def test_something_else_on_the_port(node: Any, secret: str) -> None:
    assert secret

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    node.settings.set("interface/api/rest-http-port", server.sockets[0].getsockname()[1])
    ended = await bitdust(node.home, "key", "list")
    assert ended.code == 14
    assert "is not a bitdust node" in ended.err
    server.close()


async def test_a_closed_output_is_no_error(http: Any, node: Any) -> None:
    del http
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -c 'from bitdust.cli.main import main; main()' config list | head -1",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "BITDUST_HOME": str(node.home)},
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert out.startswith(b"key")
    assert err == b""


def test_running_jobs_are_found_by_their_path() -> None:
    one = {"remote_path": "master$a@h:docs", "bytes_processed": 1}
    two = {"remote_path": "master$a@h:photos", "bytes_processed": 2}
    assert find_job({"running": [one, two]}, "photos/") == two
    assert find_job([one, two], "master$a@h:docs") == one
    assert find_job([one], "0/1") == one
    assert find_job([one, two], "0/1") is None
    assert find_job([], "docs") is None


async def test_the_command_tree_loads_nothing_heavy() -> None:
    code = (
        "import sys; from bitdust.cli.main import run; run(['--help']);"
        "heavy = {'starlette', 'cryptography', 'libtorrent', 'asyncio', 'rich', 'structlog'};"
        "sys.exit(', '.join(heavy & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert err.strip() == b""


async def test_a_node_without_secret_check(node: Any, registry: Any, secret: str) -> None:
    assert secret
    server = HttpServer(node, registry, port=0, secret=None)
    node.settings.set("interface/api/rest-http-port", await server.start())
    assert (await bitdust(node.home, "process", "health")).code == 0
    await server.stop()
