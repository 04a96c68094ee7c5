"""What is put around the segments of a journal before they are sealed: nothing, or a signature."""

from __future__ import annotations

from typing import Final, Protocol


class Envelope(Protocol):
    """What is put around the segments of a journal before they are sealed."""

    def wrap(self, epoch: int, seq: int, segment: bytes) -> bytes:
        """A segment as it travels; the same again for the same segment."""
        ...

    def unwrap(self, epoch: int, seq: int, raw: bytes) -> bytes:
        """The segment in what travelled.

        Raises:
            IntegrityError: it is not what its writer sent.
        """
        ...


class Plain:
    """No envelope."""

    def wrap(self, epoch: int, seq: int, segment: bytes) -> bytes:
        """See ``Envelope``."""
        return segment

    def unwrap(self, epoch: int, seq: int, raw: bytes) -> bytes:
        """See ``Envelope``."""
        return raw


PLAIN: Final = Plain()
