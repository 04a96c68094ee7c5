"""Services by which the work of the storage is switched: uploads, downloads, repair, all of it.

Switching one off lets its jobs wait where they are: an upload keeps what it has stored, a download
the files that are whole. Switching it on, or starting the node again, lets them go on.
"""

from __future__ import annotations

from bitdust.config import Settings
from bitdust.storage import Storage
from bitdust.wiring.part import NodePart

UPLOADS_OFF = "service_backups is not running"
DOWNLOADS_OFF = "service_restores is not running"


def hold_back(storage: Storage, settings: Settings) -> None:
    """Let nothing run until the services of this module say so.

    Jobs may be begun all the same while those services are on their way.
    """
    moving = settings.get_bool("services/data-motion/enabled")
    uploads = moving and settings.get_bool("services/backups/enabled")
    downloads = moving and settings.get_bool("services/restores/enabled")
    storage.uploads.pause("" if uploads else UPLOADS_OFF)
    storage.downloads.pause("" if downloads else DOWNLOADS_OFF)
    storage.rules.moving = storage.rules.repairing = False


class _StoragePart(NodePart):
    """What the services of this module have in common."""

    def _storage(self) -> Storage:
        storage = self._node.storage
        assert storage is not None, "it depends on service_backup_db"
        return storage


class MotionPart(_StoragePart):
    """``service_data_motion``: own data may travel at all."""

    async def start(self) -> None:
        await self._storage().change_rules(moving=True)

    async def stop(self) -> None:
        if self._node.storage is not None:
            await self._node.storage.change_rules(moving=False)


class RebuildingPart(_StoragePart):
    """``service_rebuilding``: lost fragments are brought back."""

    async def start(self) -> None:
        await self._storage().change_rules(repairing=True)

    async def stop(self) -> None:
        if self._node.storage is not None:
            await self._node.storage.change_rules(repairing=False)


class UploadsPart(_StoragePart):
    """``service_backups``: uploads run."""

    async def start(self) -> None:
        self._storage().uploads.resume()

    async def stop(self) -> None:
        if self._node.storage is not None:
            self._node.storage.uploads.pause(UPLOADS_OFF)


class DownloadsPart(_StoragePart):
    """``service_restores``: downloads run."""

    async def start(self) -> None:
        self._storage().downloads.resume()

    async def stop(self) -> None:
        if self._node.storage is not None:
            self._node.storage.downloads.pause(DOWNLOADS_OFF)
