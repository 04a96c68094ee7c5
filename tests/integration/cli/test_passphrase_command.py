"""The passphrase of the master key, from the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bitdust.cli.passphrase import ENVIRONMENT, passphrase_for
from bitdust.crypto import PrivateKey
from bitdust.errors import LocalFileError, WrongPassphrase
from bitdust.identity import master_key_locked, read_master_key, write_master_key


def bitdust(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("bitdust")), "--home", str(home), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", **environment},
        check=False,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_master_key(tmp_path, PrivateKey.generate(1024))
    return tmp_path


def test_lock_change_and_unlock(home: Path, tmp_path: Path) -> None:
    key = read_master_key(home).to_pem()
    first, second, none = (tmp_path / name for name in ("first", "second", "none"))
    first.write_text("open sesame\nsecond line\n")
    second.write_text("other words")
    none.write_text("\n")
    done = bitdust(home, "passphrase", "--new-file", str(first))
    assert done.returncode == 0, done.stderr
    assert "locked now" in done.stdout
    assert master_key_locked(home)
    assert "PRIVATE KEY" not in (home / "metadata" / "mykeyfile").read_text()
    assert (home / "metadata" / "mykeyfile").stat().st_mode & 0o777 == 0o600
    # without the old one, nothing changes
    refused = bitdust(home, "passphrase", "--new-file", str(second))
    assert refused.returncode == 13
    assert ENVIRONMENT in refused.stderr
    changed = bitdust(home, "passphrase", "--new-file", str(second), **{ENVIRONMENT: str(first)})
    assert changed.returncode == 0, changed.stderr
    assert read_master_key(home, "other words").to_pem() == key
    opened = bitdust(home, "passphrase", "--new-file", str(none), **{ENVIRONMENT: str(second)})
    assert "no passphrase now" in opened.stdout
    assert read_master_key(home).to_pem() == key


def test_the_daemon_does_not_start_without_it(home: Path, tmp_path: Path) -> None:
    write_master_key(home, read_master_key(home), "open sesame")
    refused = bitdust(home, "daemon")
    assert refused.returncode == 13
    assert "locked with a passphrase" in refused.stderr
    assert not (home / "daemon.lock").exists()


def test_where_the_passphrase_comes_from(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert passphrase_for(home) is None
    assert passphrase_for(tmp_path / "nobody") is None
    write_master_key(home, read_master_key(home), "open sesame")
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "missing"))
    with pytest.raises(LocalFileError, match="cannot read the passphrase"):
        passphrase_for(home)
    monkeypatch.delenv(ENVIRONMENT)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(WrongPassphrase, match="locked"):
        passphrase_for(home)
