"""Names that people we deal with left behind: ``metadata/formernames.json``.

A key or a remote path with an old name in it goes on working. The own former names are not here:
they are in the own document.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import msgspec
import structlog

from bitdust.errors import BitdustError, NotFound
from bitdust.identity.secretfile import make_private_directory, read_secret, write_secret
from bitdust.ids import GlobalID

FORMER_FILE: Final = Path("metadata") / "formernames.json"
MAX_NAMES: Final = 1000
"""Former names remembered; the oldest goes first."""
_MAX_FILE: Final = 1024 * 1024


class FormerNames:
    """Which name somebody has now who had another one. Safe from several threads.

    Args:
        home: the node's home directory; a damaged file is begun anew.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / FORMER_FILE
        self._lock = threading.Lock()
        self._names: dict[GlobalID, GlobalID] = {}
        try:
            raw = msgspec.json.decode(read_secret(self._path, _MAX_FILE), type=dict[str, str])
            for old, new in list(raw.items())[-MAX_NAMES:]:
                self._names[GlobalID.parse(old)] = GlobalID.parse(new)
        except NotFound:
            pass
        except (BitdustError, msgspec.MsgspecError, UnicodeDecodeError) as exc:
            # only a convenience is lost: the new names are known everywhere else
            structlog.get_logger().warning("former names unreadable", reason=str(exc))

    def current(self, name: GlobalID) -> GlobalID:
        """The name somebody has now; ``name`` itself when it was never left."""
        with self._lock:
            return self._names.get(name, name)

    def moved(self, old: GlobalID, new: GlobalID) -> None:
        """Somebody left ``old`` for ``new``.

        Raises:
            LocalFileError, DiskFull: it could not be written; it is known until the program ends.
        """
        with self._lock:
            names = {
                before: new if after == old else after
                for before, after in self._names.items()
                if before not in (old, new)
            }
            names[old] = new
            while len(names) > MAX_NAMES:
                del names[next(iter(names))]
            if names == self._names:
                return
            self._names = names
            text = msgspec.json.encode({str(a): str(b) for a, b in names.items()})
            make_private_directory(self._path.parent)
            write_secret(self._path, text)
