"""``file read``: a stored file, or a range of it, on standard output."""

from __future__ import annotations

import binascii
import sys
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import click

from bitdust.cli.runner import registry_of, shell_of, with_shared_options
from bitdust.errors import FormatError

PIECE = 1024 * 1024
"""Bytes asked for at once."""


@click.command("read")
@click.argument("remote_path")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Bytes to skip.")
@click.option("--size", type=click.IntRange(min=0), help="Bytes to read; to the end if not given.")
@with_shared_options
@click.pass_context
def file_read(context: click.Context, remote_path: str, offset: int, size: int | None) -> None:
    """Write a stored file, or a range of it, to standard output.

    Only the pieces that hold the range are fetched. With --json one piece is shown as the API gives
    it, 4 MiB at the most.
    """
    shell, registry = shell_of(context), registry_of(context)
    if shell.as_json:
        arguments: dict[str, Any] = {"remote_path": remote_path, "offset": offset}
        if size is not None:
            arguments["size"] = size
        shell.call(registry, "file_read", arguments)
        return

    def pieces() -> Iterator[bytes]:
        at, left, version = offset, size, ""
        while True:
            found = shell.ask(
                registry,
                "file_read",
                {
                    "remote_path": version or remote_path,
                    "offset": at,
                    "size": PIECE if left is None else min(PIECE, left),
                },
            )
            # a version that is made meanwhile must not be mixed in
            version = f"{found['global_id']}/{found['version']}"
            try:
                data = b64decode(found["data"], validate=True)
            except (binascii.Error, ValueError) as exc:
                raise FormatError("the node answered with something that is no base64") from exc
            yield data
            at += len(data)
            left = None if left is None else left - len(data)
            if found["completed"] or not data or left == 0:
                return

    stream = sys.stdout.buffer
    for data in pieces():
        stream.write(data)
    stream.flush()
