"""How files become objects on suppliers, and come back.

The formats are pure: chunks, compression, packing into blocks, sealing, erasure coding, fragments,
audits, repair planning (docs/spec/storage.md). The catalog, uploads and downloads hold the I/O.
"""

from bitdust.storage.catalog.catalog import Catalog, Transaction
from bitdust.storage.catalog.schema import CatalogBusy, CatalogDamaged
from bitdust.storage.catalog.types import ChunkLocation, Entry, Health, ItemVersion, ListRow
from bitdust.storage.files import READ_SIZE, Files, check_range, file_at, read_range
from bitdust.storage.formats.audit import answer, check_answer, make_challenges, spans
from bitdust.storage.formats.chunker import (
    MAX_CHUNK,
    MIN_CHUNK,
    Chunker,
    chunk_id,
    chunks,
    cut_points,
)
from bitdust.storage.formats.compression import Compressor, compress, decompress
from bitdust.storage.formats.erasure import (
    SUPPLIER_COUNTS,
    Codec,
    check_suppliers,
    ecc_map,
    fragments_needed,
    parse_ecc_map,
)
from bitdust.storage.formats.fragment import Fragment, build_fragments, rebuild_fragment
from bitdust.storage.formats.fragment_header import (
    HEADER_SIZE,
    FragmentHeader,
    Layout,
    parse_header,
)
from bitdust.storage.formats.fragment_read import (
    BlockContent,
    BlockReader,
    find_damaged,
    read_block,
)
from bitdust.storage.formats.packer import Block, BlockEntry, BlockSpace, Packer
from bitdust.storage.formats.repair import (
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
from bitdust.storage.formats.seal import (
    MAX_PAYLOAD,
    BlockKind,
    StripeCipher,
    seal_block,
    unwrap_key,
    wrap_key,
)
from bitdust.storage.jobs import DOWNLOAD, UPLOAD, Job, JobQueue
from bitdust.storage.ports import Secret, StorageClient, Suppliers
from bitdust.storage.service import BLOCK_KEK, JOURNAL_ID, Storage
from bitdust.storage.transfer.blockwriter import OwnerKey
from bitdust.storage.transfer.download import Restorer
from bitdust.storage.transfer.fetch import BlockFetcher, StoredBlock
from bitdust.storage.transfer.ranges import RangeReader
from bitdust.storage.transfer.restore import TreeWriter
from bitdust.storage.upkeep.blockstore import BlockIndex
from bitdust.storage.upkeep.keysafe import KeySafe
from bitdust.storage.upkeep.recovery import Recovery
from bitdust.storage.views import item_view, version_view

__all__ = [
    "BLOCK_KEK",
    "DOWNLOAD",
    "HEADER_SIZE",
    "JOURNAL_ID",
    "MAX_CHUNK",
    "MAX_PAYLOAD",
    "MIN_CHUNK",
    "READ_SIZE",
    "SUPPLIER_COUNTS",
    "UPLOAD",
    "Block",
    "BlockContent",
    "BlockEntry",
    "BlockFetcher",
    "BlockHealth",
    "BlockIndex",
    "BlockKind",
    "BlockReader",
    "BlockSpace",
    "Catalog",
    "CatalogBusy",
    "CatalogDamaged",
    "ChunkLocation",
    "Chunker",
    "Codec",
    "Compressor",
    "Entry",
    "Files",
    "Fragment",
    "FragmentHeader",
    "FragmentState",
    "Health",
    "ItemVersion",
    "Job",
    "JobQueue",
    "KeySafe",
    "Layout",
    "ListRow",
    "OwnerKey",
    "Packer",
    "RangeReader",
    "Rebuild",
    "Recovery",
    "RepairPlan",
    "Restorer",
    "Secret",
    "Storage",
    "StorageClient",
    "StoredBlock",
    "StripeCipher",
    "Suppliers",
    "Transaction",
    "TreeWriter",
    "acknowledgements_needed",
    "answer",
    "block_health",
    "build_fragments",
    "check_answer",
    "check_range",
    "check_suppliers",
    "chunk_id",
    "chunks",
    "compress",
    "cut_points",
    "decompress",
    "ecc_map",
    "enough",
    "file_at",
    "find_damaged",
    "fragments_needed",
    "item_view",
    "make_challenges",
    "may_vanish",
    "parse_ecc_map",
    "parse_header",
    "plan_repair",
    "read_block",
    "read_range",
    "rebuild_fragment",
    "seal_block",
    "spans",
    "unwrap_key",
    "version_view",
    "wrap_key",
]
