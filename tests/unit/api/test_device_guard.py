"""What a paired device may not do, and that everything else goes through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bitdust.api.registry import Registry
from bitdust.errors import AccessDenied, NotInCatalog
from bitdust.servers.device_guard import guard_for

OWN = "alice@server-a.com"
REFUSED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("process_debug", {}),
    ("identity_backup", {"destination_filepath": "/tmp/key"}),
    ("identity_erase", {}),
    ("identity_recover", {"private_key_local_file": "/etc/hostname"}),
    ("network_create", {"url": "/etc/hostname"}),
    ("devices_list", {}),
    ("device_list", {}),
    ("device_add", {"name": "another", "full_access": True}),
    ("device_authorization_generate", {"name": "phone"}),
    ("key_get", {"key_id": f"master${OWN}", "include_private": True}),
    ("key_get", {"key_id": f"master${OWN}", "include_private": "1"}),
    ("keys_list", {"include_private": 1}),
    ("key_create", {"key_alias": "new", "include_private": True}),
    ("key_share", {"key_id": f"new${OWN}", "trusted_id": "bob@host", "include_private": True}),
    ("config_set", {"key": "interface/api/auth-secret-enabled", "value": False}),
    ("config_set", {"key": "/interface/api/web-socket-port/", "value": 1}),
    ("file_read", {"remote_path": ".keys/new.json"}),
    ("file_read", {"remote_path": f"master${OWN}:.keys/new.json"}),
    ("file_download_start", {"remote_path": ".keys"}),
    ("file_download_start", {"remote_path": f"master${OWN}:"}),
    ("file_download_start", {"remote_path": "0/0"}),
)
ALLOWED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("process_health", {}),
    ("process_info", {}),
    ("keys_list", {}),
    ("key_get", {"key_id": f"master${OWN}"}),
    ("key_get", {"key_id": f"master${OWN}", "include_private": False}),
    ("config_get", {"key": "interface"}),
    ("config_set", {"key": "logs/debug-level", "value": 3}),
    ("config_set", {"key": "interfaces", "value": 3}),
    ("file_read", {"remote_path": "holiday/.keys"}),
    ("file_read", {"remote_path": "0/1"}),
    ("file_download_start", {"remote_path": "holiday", "destination_path": "/tmp/out"}),
    ("file_read", {}),
    ("key_get", {"no": "sense"}),
)


@pytest.fixture
def storage(node: Any) -> Any:
    paths = {"0/0": ".keys", "0/1": "holiday"}

    class Catalog:
        async def file_info(self, target: Any, *_: bool) -> dict[str, Any]:
            if str(target) not in paths:
                raise NotInCatalog("nothing is there")
            return {"path": paths[str(target)]}

    node.require_storage = Catalog
    return node


@pytest.mark.parametrize(("method", "given"), REFUSED)
async def test_a_device_does_not_take_the_node_over(
    storage: Any, registry: Registry, method: str, given: dict[str, Any]
) -> None:
    guard = guard_for(storage, full_access=False)
    assert guard is not None
    with pytest.raises(AccessDenied, match="not for remote devices"):
        await guard(registry.named(method), given)


@pytest.mark.parametrize(("method", "given"), ALLOWED)
async def test_all_else_goes_through(
    storage: Any, registry: Registry, method: str, given: dict[str, Any]
) -> None:
    guard = guard_for(storage, full_access=False)
    assert guard is not None
    await guard(registry.named(method), given)


async def test_the_home_of_the_node_is_closed(
    storage: Any, registry: Registry, tmp_path: Path
) -> None:
    guard = guard_for(storage, full_access=False)
    assert guard is not None
    home: Path = storage.home
    (home / "metadata").mkdir(parents=True, exist_ok=True)
    link = tmp_path / "innocent"
    link.symlink_to(home / "metadata")
    for path in (home, home / "metadata" / "mykeyfile", tmp_path, Path("/"), link, link / "key"):
        for method, name in (
            ("file_upload_start", "local_path"),
            ("file_download_start", "destination_path"),
            ("file_explore", "local_path"),
        ):
            remote = {} if method == "file_explore" else {"remote_path": "x"}
            for spelling in (str(path), f"{path}/../{path.name}"):
                with pytest.raises(AccessDenied):
                    await guard(registry.named(method), {**remote, name: spelling})
    beside = tmp_path / "home-of-others"
    beside.mkdir()
    upload = {"remote_path": "x", "local_path": str(beside)}
    await guard(registry.named("file_upload_start"), upload)


def test_full_access_has_no_guard(node: Any) -> None:
    assert guard_for(node, full_access=True) is None


def test_whatever_shows_private_keys_is_known(registry: Registry) -> None:
    """A new operation that gives out keys must be thought of here."""
    known = {"key_get", "keys_list", "key_create", "key_share"}
    found = {
        name for name, entry in registry.operations.items() if "include_private" in entry.parameters
    }
    assert found == known
