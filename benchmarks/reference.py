"""The core of the work alone, with the same libraries, to hold the engine's times against.

Up: read, AES-256-GCM, erasure coding, TLS 1.3 over loopback to one sink process per supplier, which
hashes, writes and fsyncs each fragment before it acknowledges. Down: the data pieces from all
sinks, hashed, decrypted, written. No chunking, no deduplication, no compression, no catalog, no
contracts, no recovery. It is a plain program and no lower bound: an engine that overlaps its stages
better can be faster, which a ratio below 1 in ``storage.py`` then says.
"""

from __future__ import annotations

import datetime
import os
import queue
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from blake3 import blake3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID

from bitdust.storage import Codec

STRIPE = 4 * 1024 * 1024
BLOCK = 4 * STRIPE
TAG = 16
SEALED = STRIPE + TAG
IN_FLIGHT = 4
HEAD = struct.Struct("!cQQ")
DIGEST = 32
PART = 1024 * 1024


def _fill(stream: ssl.SSLSocket, view: memoryview) -> None:
    while view:
        count = stream.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]


def _receive(stream: ssl.SSLSocket, size: int) -> bytearray:
    data = bytearray(size)
    _fill(stream, memoryview(data))
    return data


# --- the sink ------------------------------------------------------------------------------------


def sink(folder: Path, pem: Path) -> None:
    """Serve fragments from ``folder`` until the parent goes away."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        raw, _ = server.accept()
    buffer = memoryview(bytearray(PART))
    with context.wrap_socket(raw, server_side=True) as stream:
        try:
            while True:
                verb, number, size = HEAD.unpack(_receive(stream, HEAD.size))
                path = folder / str(number)
                hasher = blake3()
                if verb == b"P":
                    with path.open("wb", buffering=0) as file:
                        for part in _parts(size):
                            _fill(stream, buffer[:part])
                            hasher.update(buffer[:part])
                            file.write(buffer[:part])
                        os.fsync(file.fileno())
                else:
                    with path.open("rb", buffering=0) as file:
                        for part in _parts(size):
                            file.readinto(buffer[:part])
                            hasher.update(buffer[:part])
                            stream.sendall(buffer[:part])
                stream.sendall(hasher.digest())
        except EOFError:
            return


def _parts(size: int) -> list[int]:
    return [min(PART, size - at) for at in range(0, size, PART)]


# --- the client ----------------------------------------------------------------------------------


def _certificate(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sink")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )


class Sinks:
    """The sink processes and one TLS connection to each; a context manager.

    Args:
        folder: where they write.
        number: how many, one of the numbers of suppliers.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self.codec = Codec(number)
        self.number = number
        self._cipher = AESGCM(AESGCM.generate_key(256))
        pem = folder / "sink.pem"
        _certificate(pem)
        self._processes: list[subprocess.Popen[str]] = []
        self._streams: list[ssl.SSLSocket] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.load_verify_locations(pem)
        for index in range(number):
            place = folder / f"sink-{index}"
            place.mkdir()
            process = subprocess.Popen(
                [sys.executable, __file__, str(place), str(pem)], stdout=subprocess.PIPE, text=True
            )
            self._processes.append(process)
            port = int(process.stdout.readline())
            raw = socket.create_connection(("127.0.0.1", port))
            self._streams.append(context.wrap_socket(raw))

    def __enter__(self) -> Sinks:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._streams:
            stream.close()
        for process in self._processes:
            process.stdout.close()
            process.wait(30)

    def _seal(self, block: bytes) -> list[list[memoryview]]:
        """One fragment per sink: its data piece of every stripe, then its parity pieces."""
        coded = [
            self.codec.encode(self._cipher.encrypt(bytes(12), block[at : at + STRIPE], None))
            for at in range(0, len(block), STRIPE)
        ]
        return [
            [pieces[first + index] for first in (0, self.number) for pieces in coded]
            for index in range(self.number)
        ]

    def put(self, blocks: Iterable[bytes]) -> int:
        """Send blocks; returns how many once all are on the sinks' disks."""
        lanes: list[queue.Queue[tuple[int, list[memoryview]] | None]] = [
            queue.Queue(2) for _ in self._streams
        ]
        slots = threading.Semaphore(IN_FLIGHT)

        def send(
            lane: queue.Queue[tuple[int, list[memoryview]] | None], stream: ssl.SSLSocket
        ) -> None:
            while (item := lane.get()) is not None:
                number, fragment = item
                hasher = blake3()
                stream.sendall(HEAD.pack(b"P", number, sum(map(len, fragment))))
                for piece in fragment:
                    hasher.update(piece)
                    stream.sendall(piece)
                assert _receive(stream, DIGEST) == hasher.digest()

        def work(number: int, block: bytes) -> None:
            for lane, fragment in zip(lanes, self._seal(block), strict=True):
                lane.put((number, fragment))
            slots.release()

        count = 0
        with ThreadPoolExecutor(self.number) as senders, ThreadPoolExecutor(2) as sealers:
            sending = [
                senders.submit(send, *pair) for pair in zip(lanes, self._streams, strict=True)
            ]
            sealing = []
            for block in blocks:
                slots.acquire()
                sealing.append(sealers.submit(work, count, block))
                count += 1
            for future in sealing:
                future.result()
            for lane in lanes:
                lane.put(None)
            for future in sending:
                future.result()
        return count

    def get(self, sizes: Iterable[int]) -> Iterator[bytes]:
        """Bring blocks back, in order.

        Args:
            sizes: plain bytes of each block.
        """
        # one thread per stream, so that requests and answers on it keep their order
        pools = [ThreadPoolExecutor(1) for _ in self._streams]
        try:
            ahead: list[tuple[list[int], list[bytearray], list]] = []
            for number, size in enumerate(sizes):
                stripes = _stripes(size)
                sealed = [
                    bytearray(self.codec.piece_size(part + TAG) * self.number) for part in stripes
                ]
                fetching = [
                    pool.submit(self._fetch, stream, index, number, sealed)
                    for index, (pool, stream) in enumerate(zip(pools, self._streams, strict=True))
                ]
                ahead.append((stripes, sealed, fetching))
                if len(ahead) > 2:
                    yield self._open(*ahead.pop(0))
            for item in ahead:
                yield self._open(*item)
        finally:
            for pool in pools:
                pool.shutdown()

    def _fetch(
        self, stream: ssl.SSLSocket, index: int, number: int, sealed: list[bytearray]
    ) -> None:
        """Bring one sink's data pieces to their places."""
        sizes = [len(stripe) // self.number for stripe in sealed]
        stream.sendall(HEAD.pack(b"G", number, sum(sizes)))
        hasher = blake3()
        for stripe, size in zip(sealed, sizes, strict=True):
            place = memoryview(stripe)[index * size : (index + 1) * size]
            _fill(stream, place)
            hasher.update(place)
        assert _receive(stream, DIGEST) == hasher.digest()

    def _open(self, stripes: list[int], sealed: list[bytearray], fetching: list) -> bytes:
        for future in fetching:
            future.result()
        return b"".join(
            self._cipher.decrypt(bytes(12), memoryview(stripe)[: part + TAG], None)
            for part, stripe in zip(stripes, sealed, strict=True)
        )


def _stripes(size: int) -> list[int]:
    return [min(STRIPE, size - at) for at in range(0, size, STRIPE)]


def read_file(path: Path) -> Iterator[bytes]:
    """Blocks of one large file."""
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK):
            yield block


def read_files(paths: Iterable[Path]) -> Iterator[bytes]:
    """Blocks packed from many small files."""
    packed = bytearray()
    for path in paths:
        with path.open("rb", buffering=0) as file:
            packed += file.read()
        if len(packed) >= BLOCK:
            yield bytes(packed[:BLOCK])
            del packed[:BLOCK]
    if packed:
        yield bytes(packed)


def block_sizes(total: int) -> list[int]:
    """Plain bytes of each block of ``total`` bytes."""
    return [min(BLOCK, total - at) for at in range(0, total, BLOCK)]


def write_file(path: Path, blocks: Iterable[bytes]) -> None:
    """Put blocks into one file and hash it, as a checked restore must."""
    hasher = blake3()
    with path.open("wb", buffering=0) as file:
        for block in blocks:
            hasher.update(block)
            file.write(block)


def write_files(paths: Iterable[Path], size: int, blocks: Iterable[bytes]) -> None:
    """Put blocks into many small files of one size, each hashed."""
    names = iter(paths)
    rest = b""
    for block in blocks:
        rest += block
        whole = len(rest) // size * size
        for at in range(0, whole, size):
            data = rest[at : at + size]
            blake3(data).digest()
            with next(names).open("wb", buffering=0) as file:
                file.write(data)
        rest = rest[whole:]


if __name__ == "__main__":
    sink(Path(sys.argv[1]), Path(sys.argv[2]))
