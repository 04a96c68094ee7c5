"""After everything was used: nobody else can read a home, and no secret is where it can be seen."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet import CUSTOMER, Plan, Testnet
from bitdust.cli.testnet_api import NodeApi
from bitdust.cli.testnet_plan import SUPPLIER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MESSAGE = "what only Bob may read 5173"
PASSPHRASE = "what only Alice knows 8206"
MARKER = "-----BEGIN RSA PRIVATE KEY-----"


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    """A network of whose nodes one has used everything, with a permissive umask."""
    folder = tmp_path_factory.mktemp("secrets")
    before = os.umask(0)
    try:
        with Testnet(folder, Plan(suppliers=2, customers=2, key_size=1024)) as network:
            use(network, folder)
            yield network
    finally:
        os.umask(before)


def use(network: Testnet, folder: Path) -> None:
    api = network.api(f"{CUSTOMER}-1")
    friend = str(network.member(f"{CUSTOMER}-2").global_id)
    local = folder / "file"
    local.write_bytes(os.urandom(100_000))
    api.post("/file/upload/start/v1", local_path=str(local), remote_path="file", wait_result=True)
    back = folder / "back"
    api.post(
        "/file/download/start/v1",
        remote_path="file",
        destination_path=str(back),
        wait_result=True,
    )
    api.post("/key/create/v1", key_alias="work", key_size=1024)
    api.post("/friend/add/v1", trusted_user_id=friend, alias="bob")
    api.post("/message/send/v1", recipient_id=friend, data={"message": MESSAGE})
    share = api.post("/share/create/v1", label="photos")
    api.post("/share/open/v1", key_id=share["key_id"])
    group = api.post("/group/create/v1", label="us", timeout=60)
    api.post("/group/join/v1", group_key_id=group["group_key_id"])
    api.post("/device/add/v1", name="phone", activate=False)
    network_file = folder / "network.json"
    network_file.write_text(json.dumps({"name": "mine", "label": "Mine", "maintainer": "me"}))
    api.post("/network/create/v1", url=str(network_file))
    api.post("/identity/backup/v1", destination_filepath=str(folder / "backup.key"))
    wrong(api)


def wrong(api: NodeApi) -> None:
    """Calls that fail with secrets in their hands."""
    for route, given in (
        ("/identity/recover/v1", {"private_key_source": MARKER + "\nMIIB", "passphrase": "x"}),
        ("/message/send/v1", {"recipient_id": "nobody", "data": {"message": MESSAGE}}),
        ("/key/create/v1", {"key_alias": "work", "key_size": 1024}),
        ("/file/create/v1", {"remote_path": PASSPHRASE + "\x00"}),
    ):
        envelope: dict[str, Any] = api.call("POST", route, given)
        assert envelope["status"] == "ERROR", (route, envelope)
        assert PASSPHRASE not in json.dumps(envelope)


def secrets_of(home: Path) -> dict[str, str]:
    """What nobody else may see, by where it lies."""
    found = {"api secret": (home / "metadata" / "apisecret").read_text("ascii").strip()}
    lines = (home / "metadata" / "mykeyfile").read_text("ascii").splitlines()
    found["master key"] = lines[3]
    for path in (home / "keys").glob("*.key"):
        found[path.name] = json.loads(path.read_bytes())["key"].splitlines()[3]
    found["certificate"] = (home / "metadata" / "tls.pem").read_text("ascii").splitlines()[1]
    return found


def test_everything_in_a_home_is_for_its_owner_only(used: Testnet) -> None:
    count = 0
    for member in used.members:
        for path in (member.home, *member.home.rglob("*")):
            mode = stat.S_IMODE(path.lstat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), (str(path), oct(mode))
            count += 1
    assert count > 50


def test_a_backup_is_for_its_owner_only(used: Testnet) -> None:
    backup = used.member(f"{CUSTOMER}-1").home.parent.parent / "backup.key"
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600


def test_no_secret_is_in_logs_arguments_or_environments(used: Testnet) -> None:
    for member in used.members:
        home = member.home
        seen = {
            str(path): path.read_bytes().decode("utf-8", "replace")
            for path in (home / "logs").rglob("*")
            if path.is_file()
        }
        assert any(seen.values())
        process = Path("/proc") / str(member.daemon.pid)
        for name in ("cmdline", "environ"):
            seen[name] = (process / name).read_bytes().decode("utf-8", "replace")
        shown = secrets_of(home) if member.name.startswith((CUSTOMER, SUPPLIER)) else {}
        for what, secret in {**shown, "message": MESSAGE, "mark": MARKER}.items():
            assert len(secret) > 20
            for where, text in seen.items():
                assert secret not in text, (member.name, what, where)


def test_no_answer_shows_a_secret_that_was_not_asked_for(used: Testnet) -> None:
    member = used.member(f"{CUSTOMER}-1")
    api = used.api(member.name)
    secrets = secrets_of(member.home)
    routes = [
        "/identity/get/v1",
        "/key/list/v1",
        "/config/list/v1",
        "/config/tree/v1",
        "/service/list/v1",
        "/automat/list/v1",
        "/device/list/v1",
        "/share/list/v1",
        "/group/list/v1",
        "/friend/list/v1",
        "/event/list/v1",
        "/network/info/v1",
        "/network/configuration/v1",
        "/queue/list/v1",
        "/dht/db/dump/v1",
    ]
    for route in routes:
        envelope = api.call("GET", route, {})
        text = json.dumps(envelope)
        for what, secret in secrets.items():
            assert secret not in text, (route, what)


def test_the_command_line_shows_no_secret(used: Testnet) -> None:
    home = used.member(f"{CUSTOMER}-1").home
    command = [sys.executable, "-c", "from bitdust.cli.main import main; main()"]
    done = subprocess.run(
        [*command, "--home", str(home), "-v", "service", "list"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "service_network" in done.stdout
    for what, secret in secrets_of(home).items():
        assert secret not in done.stdout + done.stderr, what
