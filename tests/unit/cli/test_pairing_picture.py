"""The picture of an invitation: read back from the characters, dot by dot."""

from __future__ import annotations

import segno

from bitdust.cli.pairing import picture

CODE = "alice@id.example.org_8084/000G4-0R40M-30E20-9AHA5"
BORDER = 4
DOTS = {" ": (1, 1), "\u2580": (0, 1), "\u2584": (1, 0), "\u2588": (0, 0)}
"""Upper and lower dot of a character; light where something is printed, as on a dark screen."""


def test_the_picture_is_the_qr_of_the_code() -> None:
    rows: list[list[int]] = []
    for line in picture(CODE).splitlines():
        plain = [DOTS[char] for char in line]
        rows += [[upper for upper, _ in plain], [lower for _, lower in plain]]
    wanted = [list(row) for row in segno.make(CODE, error="m", micro=False).matrix]
    size = len(wanted)
    found = [row[BORDER : BORDER + size] for row in rows[BORDER : BORDER + size]]
    assert found == wanted
    assert all(len(line) <= 60 for line in picture(CODE).splitlines()), "fits a narrow terminal"
