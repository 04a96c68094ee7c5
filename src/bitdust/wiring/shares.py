"""The service of shares: places that several people read and write."""

from __future__ import annotations

from functools import partial

from bitdust.sharing import RoutedFiles, Shares, Surroundings
from bitdust.storage import Files
from bitdust.wiring.part import MeetingPart

SPONSOR = "services/shared-data/sponsor"
SPONSOR_QUOTA = "services/shared-data/sponsor-quota"


class SharesPart(MeetingPart):
    """``service_shared_data``: shares, and their files beside the own ones."""

    async def start(self) -> None:
        node = self._node
        identity = node.require_identity()
        shares = Shares(
            Surroundings(
                node.home / "shares",
                self._meet(),
                node.require_keys(),
                identity.key,
                lambda: identity.global_id,
                node.require_customer(),
                node.find_document,
                self._listen(),
                node.clock,
                node.random,
                node.pool,
                node.restore_folder,
            ),
            node.require_key_exchange(),
            partial(self._allows, SPONSOR),
            lambda: node.settings.get_int(SPONSOR_QUOTA),
            lambda: node.settings.get_int("personal/private-key-size"),
        )
        node.shares = shares
        await shares.start()
        asked = node.require_customer().before_shrink
        asked.append(shares.are_spread_over)
        self._undo.append(lambda: asked.remove(shares.are_spread_over))
        assert node.storage is not None
        node.files = RoutedFiles(node.storage, node.restore_folder, shares)

    async def stop(self) -> None:
        await self._end()
        node = self._node
        shares, node.shares = node.shares, None
        if node.storage is not None and node.files is not None:
            node.files = Files(node.storage, node.restore_folder)
        if shares is not None:
            await shares.stop()
