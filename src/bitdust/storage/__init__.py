"""How files become objects on suppliers, and come back.

The formats are pure: chunks, compression, packing into blocks, sealing, erasure coding, fragments,
audits, repair planning (docs/spec/storage.md). The catalog, uploads and downloads hold the I/O.
"""

from bitdust.storage.audit import answer, check_answer, make_challenges, spans
from bitdust.storage.chunker import MAX_CHUNK, MIN_CHUNK, Chunker, chunk_id, chunks, cut_points
from bitdust.storage.compression import Compressor, compress, decompress
from bitdust.storage.erasure import (
    SUPPLIER_COUNTS,
    Codec,
    check_suppliers,
    ecc_map,
    fragments_needed,
    parse_ecc_map,
)
from bitdust.storage.files import Files
from bitdust.storage.fragment import Fragment, build_fragments, rebuild_fragment
from bitdust.storage.fragment_header import HEADER_SIZE, FragmentHeader, Layout, parse_header
from bitdust.storage.fragment_read import BlockContent, BlockReader, find_damaged, read_block
from bitdust.storage.keysafe import KeySafe
from bitdust.storage.packer import Block, BlockEntry, BlockSpace, Packer
from bitdust.storage.repair import (
    BlockHealth,
    FragmentState,
    Rebuild,
    RepairPlan,
    acknowledgements_needed,
    block_health,
    enough,
    may_vanish,
    plan_repair,
)
from bitdust.storage.schema import CatalogBusy, CatalogDamaged
from bitdust.storage.seal import (
    MAX_PAYLOAD,
    BlockKind,
    StripeCipher,
    seal_block,
    unwrap_key,
    wrap_key,
)
from bitdust.storage.service import Storage

__all__ = [
    "HEADER_SIZE",
    "MAX_CHUNK",
    "MAX_PAYLOAD",
    "MIN_CHUNK",
    "SUPPLIER_COUNTS",
    "Block",
    "BlockContent",
    "BlockEntry",
    "BlockHealth",
    "BlockKind",
    "BlockReader",
    "BlockSpace",
    "CatalogBusy",
    "CatalogDamaged",
    "Chunker",
    "Codec",
    "Compressor",
    "Files",
    "Fragment",
    "FragmentHeader",
    "FragmentState",
    "KeySafe",
    "Layout",
    "Packer",
    "Rebuild",
    "RepairPlan",
    "Storage",
    "StripeCipher",
    "acknowledgements_needed",
    "answer",
    "block_health",
    "build_fragments",
    "check_answer",
    "check_suppliers",
    "chunk_id",
    "chunks",
    "compress",
    "cut_points",
    "decompress",
    "ecc_map",
    "enough",
    "find_damaged",
    "fragments_needed",
    "make_challenges",
    "may_vanish",
    "parse_ecc_map",
    "parse_header",
    "plan_repair",
    "read_block",
    "rebuild_fragment",
    "seal_block",
    "spans",
    "unwrap_key",
    "wrap_key",
]
