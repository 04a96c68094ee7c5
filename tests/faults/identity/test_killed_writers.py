"""A process is killed at any moment of its writing; what it said was done is there afterwards."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bitdust.clock import SystemClock
from bitdust.crypto import PrivateKey
from bitdust.identity import IdentityDocument, KeyRing, write_master_key
from bitdust.identity.namestore import NameStore
from bitdust.ids import GlobalID

ALICE = GlobalID.parse("alice@id.example.org")

WRITE_KEYS = """
import sys, itertools
from pathlib import Path
from bitdust.clock import SystemClock
from bitdust.identity import KeyRing
from bitdust.ids import GlobalID
ring = KeyRing.load(Path(sys.argv[1]), GlobalID.parse("alice@id.example.org"), clock=SystemClock())
for number in itertools.count():
    ring.set_label(ring.owner.key("photos"), f"{number:09d} " + "x" * 200)
    print(number, flush=True)
"""

WRITE_NAMES = """
import sys, itertools
from pathlib import Path
from bitdust.crypto import PrivateKey
from bitdust.identity import sign_document
from bitdust.identity.namestore import NameStore
from bitdust.ids import IDURL
store, key, place = NameStore(Path(sys.argv[1]), 9), PrivateKey.generate(1024), IDURL("h", 80, "a")
for number in itertools.count(1):
    store.put(place, sign_document(key, sources=[place], revision=number), 0.0)
    print(number, flush=True)
"""


def last_said(script: str, target: Path, chance: random.Random) -> int:
    """Run a writer, kill it at a random moment, and give the last number it said was done."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(target)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline(), "the writer did not start"
    time.sleep(chance.uniform(0, 0.05))  # the moment of the kill, not a wait for anything
    process.kill()
    said = [line for line in process.communicate(timeout=30)[0].split("\n")[:-1] if line]
    return int(said[-1]) if said else 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_key_file_is_old_or_new(tmp_path: Path, seed: int) -> None:
    write_master_key(tmp_path, PrivateKey.generate(1024))
    ring = KeyRing.load(tmp_path, ALICE, clock=SystemClock())
    key_id = ring.create("photos", 1024, label=f"{0:09d} ").key_id
    said = last_said(WRITE_KEYS, tmp_path, random.Random(seed))
    after = KeyRing.load(tmp_path, ALICE, clock=SystemClock())
    assert not after.problems
    assert int(after.get(key_id).label.split()[0]) >= said
    assert after.private(key_id) == ring.private(key_id)
    assert [path.suffix for path in (tmp_path / "keys").iterdir()] == [".key"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_what_a_name_server_took_is_kept(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "names.db"
    said = last_said(WRITE_NAMES, path, random.Random(seed))
    store = NameStore(path, 9)
    xml = store.get("a")
    store.close()
    assert xml is not None
    assert IdentityDocument.parse(xml).revision >= said
