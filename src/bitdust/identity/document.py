"""Identity documents: what a person says about itself, signed with its master key.

The document travels as XML, but the signature covers a canonical byte form of the values (see
``docs/spec/identity.md``), so that writing the same values as XML again changes nothing. Every
value in the document is signed; there is no place for an unsigned one.

Source: BitDust API, third generation, ``identity_get``; the canonical form is ours.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from defusedxml.ElementTree import fromstring

from bitdust.crypto import PrivateKey, PublicKey
from bitdust.errors import FormatError, InvalidInput, InvalidName
from bitdust.ids import IDURL, GlobalID

MAX_DOCUMENT_SIZE = 64 * 1024
MAX_SOURCES = 8
MAX_CONTACTS = 16
MAX_LIST_ITEMS = 16
"""Certificates and scrubbers a document may hold."""
MAX_LIST_ITEM_SIZE = 1024
MAX_EXTRAS = 16
MAX_EXTRA_SIZE = 4096
MAX_REVISION = 2**53 - 1
"""Readers in other languages hold it in a double."""
DHT_KEY_SIZE = 32

_CONTEXT = b"bitdust identity document 1\x00"
_CONTACT = re.compile(r"[a-z][a-z0-9]{0,15}://[!-~]{1,240}")
_CERTIFICATE = re.compile(r"([0-9a-f]{64})?")
_DHT_KEY = re.compile(r"([0-9a-f]{64})?")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_VERSION = re.compile(r"[ -~]{0,64}")
_POSTAGE = re.compile(r"\d{1,9}", re.ASCII)
_REVISION = re.compile(r"0|[1-9]\d{0,15}", re.ASCII)
_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{4,1024}={0,2}")
_PLAIN = re.compile("[ -~\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
_EXTRA_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
# What may stand between elements, and the only declaration that may stand before them.
_BLANK = re.compile(r"[ \t\r\n]*")
_DECLARATION = re.compile(
    r"\ufeff?<\?xml version=(\"1\.0\"|'1\.0')( encoding=(\"utf-8\"|'utf-8'))?\s*\?>", re.IGNORECASE
)
_LISTS = {
    "sources": ("source", MAX_SOURCES),
    "contacts": ("contact", MAX_CONTACTS),
    "certificates": ("certificate", MAX_LIST_ITEMS),
    "scrubbers": ("scrubber", MAX_LIST_ITEMS),
}
_LEAVES = (
    "postage",
    "date",
    "version",
    "revision",
    "publickey",
    "tlscertificate",
    "dhtkey",
    "signature",
)


@dataclass(frozen=True, slots=True)
class IdentityDocument:
    """One revision of a person's document. Made by ``sign_document`` or ``parse`` only.

    Args:
        sources: where the document is served, 1 to ``MAX_SOURCES``; the first one is the address.
        contacts: where the node listens, as ``tcp://host:port``.
        certificate: SHA-256 of the node's TLS certificate in DER, 64 hex digits, or empty.
        dht_key: Ed25519 public key that signs the node's DHT items, 32 bytes, or empty.
        revision: grows with every change.
        date: UTC, ``2026-11-20T16:13:52Z``.
        version: the software that wrote it.
        public_key: the person's master key.
        signature: RSA-PSS over ``canonical()``.
        certificates, scrubbers, postage: kept for readers of the original; not used here.
        extras: elements this version does not know, by name, in order of names; signed like all.
    """

    sources: tuple[IDURL, ...]
    contacts: tuple[str, ...]
    certificate: str
    dht_key: bytes
    revision: int
    date: str
    version: str
    public_key: PublicKey
    signature: bytes
    certificates: tuple[str, ...] = ()
    scrubbers: tuple[str, ...] = ()
    postage: str = "1"
    extras: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The user name on the first source."""
        return self.sources[0].username

    @property
    def idurl(self) -> IDURL:
        """The person's address: the first source."""
        return self.sources[0]

    @property
    def global_id(self) -> GlobalID:
        """The address as ``alice@host``."""
        return self.sources[0].global_id

    @property
    def node_id(self) -> bytes:
        """The fingerprint of the master key, 32 bytes; stays when the address changes."""
        return self.public_key.fingerprint

    def canonical(self) -> bytes:
        """The bytes that are signed: every value, with lengths and counts."""
        parts = [_CONTEXT]
        for name, values in (
            ("sources", [str(source) for source in self.sources]),
            ("contacts", self.contacts),
            ("certificates", self.certificates),
            ("scrubbers", self.scrubbers),
            ("postage", (self.postage,)),
            ("date", (self.date,)),
            ("version", (self.version,)),
            ("revision", (str(self.revision),)),
            ("publickey", (self.public_key.to_ssh(),)),
            ("tlscertificate", (self.certificate,)),
            ("dhtkey", (self.dht_key.hex(),)),
            ("extras", [text for pair in self.extras for text in pair]),
        ):
            parts.append(_field(name))
            parts.append(struct.pack(">I", len(values)))
            parts.extend(_field(value) for value in values)
        return b"".join(parts)

    def to_xml(self) -> bytes:
        """The document as UTF-8 XML; the same document always gives the same bytes."""
        root = ElementTree.Element("identity")
        for name, values in (
            ("sources", [str(source) for source in self.sources]),
            ("contacts", self.contacts),
            ("certificates", self.certificates),
            ("scrubbers", self.scrubbers),
        ):
            box = ElementTree.SubElement(root, name)
            for value in values:
                ElementTree.SubElement(box, _LISTS[name][0]).text = value
        for name, value in (
            ("postage", self.postage),
            ("date", self.date),
            ("version", self.version),
            ("revision", str(self.revision)),
            ("publickey", self.public_key.to_ssh()),
            ("tlscertificate", self.certificate),
            ("dhtkey", self.dht_key.hex()),
            *self.extras,
            ("signature", base64.b64encode(self.signature).decode("ascii")),
        ):
            ElementTree.SubElement(root, name).text = value
        ElementTree.indent(root)
        written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
        # the one form of documents has no blank in empty elements; in texts ">" is escaped
        return written.replace(b" />", b"/>") + b"\n"

    def view(self, *, include_xml: bool = False) -> dict[str, Any]:
        """The JSON-ready form that the API gives."""
        shown: dict[str, Any] = {
            "name": self.name,
            "idurl": str(self.idurl),
            "global_id": str(self.global_id),
            "sources": [str(source) for source in self.sources],
            "contacts": list(self.contacts),
            "certificates": list(self.certificates),
            "scrubbers": list(self.scrubbers),
            "postage": self.postage,
            "date": self.date,
            "version": self.version,
            "revision": str(self.revision),
            "publickey": self.public_key.to_ssh(),
            "signature": base64.b64encode(self.signature).decode("ascii"),
        }
        if include_xml:
            shown["xml"] = self.to_xml().decode("utf-8")
        return shown

    @classmethod
    def parse(cls, xml: bytes) -> IdentityDocument:
        """Read a document and check its signature.

        Raises:
            FormatError: longer than ``MAX_DOCUMENT_SIZE`` or not in the documented form.
            IntegrityError: the signature does not fit.
        """
        lists, leaves = _read_elements(xml)
        extras = tuple(sorted((name, leaves.pop(name)) for name in set(leaves) - set(_LEAVES)))
        try:
            sources = tuple(IDURL.parse(text) for text in lists["sources"])
        except InvalidName as exc:
            raise FormatError("an identity document with a bad source") from exc
        if [str(source) for source in sources] != lists["sources"]:
            raise FormatError("an identity document with a source not in its one form")
        if not _REVISION.fullmatch(leaves["revision"]):
            raise FormatError("an identity document with a bad revision")
        if not _DHT_KEY.fullmatch(leaves["dhtkey"]):
            raise FormatError("an identity document with a bad DHT key")
        public_key = PublicKey.from_ssh(leaves["publickey"])
        if public_key.to_ssh() != leaves["publickey"]:
            raise FormatError("an identity document with a key not in its one form")
        document = cls(
            sources=sources,
            contacts=tuple(lists["contacts"]),
            certificate=leaves["tlscertificate"],
            dht_key=bytes.fromhex(leaves["dhtkey"]),
            revision=int(leaves["revision"]),
            date=leaves["date"],
            version=leaves["version"],
            public_key=public_key,
            signature=_read_signature(leaves["signature"]),
            certificates=tuple(lists["certificates"]),
            scrubbers=tuple(lists["scrubbers"]),
            postage=leaves["postage"],
            extras=extras,
        )
        problem = _problem(document)
        if problem:
            raise FormatError(f"an identity document with {problem}")
        # What was taken must also be taken after being written again, indented and escaped.
        if len(document.to_xml()) > MAX_DOCUMENT_SIZE:
            raise FormatError("an identity document that is too long when written out")
        public_key.verify(document.signature, document.canonical())
        return document


def sign_document(
    key: PrivateKey,
    *,
    sources: Sequence[IDURL],
    contacts: Iterable[str] = (),
    certificate: str = "",
    dht_key: bytes = b"",
    revision: int = 0,
    now: float = 0.0,
    version: str = "",
    extras: Iterable[tuple[str, str]] = (),
) -> IdentityDocument:
    """Make and sign a document.

    Args:
        key: the person's master key.
        now: wall clock, seconds since 1970, for the date.
        sources, contacts, certificate, dht_key, revision, version, extras: see
            ``IdentityDocument``.

    Raises:
        InvalidInput: a value that no reader would take.
    """
    try:
        date = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError) as exc:
        raise InvalidInput("the clock shows an impossible date", hint="set the clock") from exc
    document = IdentityDocument(
        sources=tuple(sources),
        contacts=tuple(contacts),
        certificate=certificate,
        dht_key=dht_key,
        revision=revision,
        date=date,
        version=version,
        public_key=key.public,
        signature=b"",
        extras=tuple(sorted(extras)),
    )
    problem = _problem(document)
    if problem:
        raise InvalidInput(f"the identity document would have {problem}")
    signed = replace(document, signature=key.sign(document.canonical()))
    if len(signed.to_xml()) > MAX_DOCUMENT_SIZE:
        raise InvalidInput("the identity document would be too long")
    return signed


def _field(text: str) -> bytes:
    raw = text.encode("utf-8")
    return struct.pack(">I", len(raw)) + raw


def _problem(document: IdentityDocument) -> str:
    """What is wrong with the values, as words that end a sentence; empty when nothing is."""
    items = (*document.certificates, *document.scrubbers)
    names = [name for name, _ in document.extras]
    checks = (
        (0 < len(document.sources) <= MAX_SOURCES, "no source or too many"),
        (len(set(document.sources)) == len(document.sources), "one source twice"),
        (len(document.contacts) <= MAX_CONTACTS, "too many contacts"),
        (all(_CONTACT.fullmatch(text) for text in document.contacts), "a bad contact"),
        (len(set(document.contacts)) == len(document.contacts), "one contact twice"),
        (_CERTIFICATE.fullmatch(document.certificate), "a bad certificate fingerprint"),
        (len(document.dht_key) in (0, DHT_KEY_SIZE), "a bad DHT key"),
        (
            all(
                source.host == document.dht_key.hex()
                for source in document.sources
                if source.is_serverless
            ),
            "a source in the DHT under another key",
        ),
        (0 <= document.revision <= MAX_REVISION, "a revision out of range"),
        (_DATE.fullmatch(document.date), "a bad date"),
        (_VERSION.fullmatch(document.version), "a bad version"),
        (_POSTAGE.fullmatch(document.postage), "a bad postage"),
        (
            max(len(document.certificates), len(document.scrubbers)) <= MAX_LIST_ITEMS
            and all(len(text) <= MAX_LIST_ITEM_SIZE and _is_plain(text) for text in items),
            "bad certificates or scrubbers",
        ),
        (
            len(names) <= MAX_EXTRAS
            and len(set(names)) == len(names)
            and not set(names) & {*_LEAVES, *_LISTS}
            and all(_EXTRA_NAME.fullmatch(name) for name in names)
            and all(len(text) <= MAX_EXTRA_SIZE and _is_plain(text) for _, text in document.extras),
            "a bad extra element",
        ),
    )
    return next((words for fine, words in checks if not fine), "")


def _is_plain(text: str) -> bool:
    # Line ends and other controls do not survive a trip through XML unchanged.
    return _PLAIN.fullmatch(text) is not None


def _read_signature(text: str) -> bytes:
    if not _SIGNATURE.fullmatch(text):
        raise FormatError("an identity document with a bad signature text")
    try:
        signature = base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise FormatError("an identity document with a bad signature text") from exc
    if base64.b64encode(signature).decode("ascii") != text:
        raise FormatError("an identity document with a signature text not in its one form")
    return signature


def _read_elements(xml: bytes) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The texts of the list elements and of the plain ones, by name."""
    if len(xml) > MAX_DOCUMENT_SIZE:
        raise FormatError(f"an identity document of more than {MAX_DOCUMENT_SIZE} bytes")
    try:
        text = xml.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise FormatError("an identity document that is not UTF-8") from exc
    declaration = _DECLARATION.match(text)
    body = text[declaration.end() :] if declaration else text
    # No DTD, hence no entities; no comments, CDATA or processing instructions either, so that one
    # document cannot look different to two readers.
    if "<!" in body or "<?" in body:
        raise FormatError("an identity document with a DTD, comment, CDATA or instruction")
    try:
        root = fromstring(body.strip(), forbid_dtd=True)
    except (ElementTree.ParseError, ValueError) as exc:
        raise FormatError("an identity document that is not well-formed XML") from exc
    if root.tag != "identity":
        raise FormatError("XML that is no identity document")
    lists: dict[str, list[str]] = {}
    leaves: dict[str, str] = {}
    for child in _children(root):
        name = child.tag
        if name in lists or name in leaves:
            raise FormatError(f"an identity document with <{name}> twice")
        if name in _LISTS:
            item, limit = _LISTS[name]
            items = _children(child)
            if len(items) > limit or any(entry.tag != item for entry in items):
                raise FormatError(f"an identity document with bad <{name}>")
            lists[name] = [_leaf(entry) for entry in items]
        elif _EXTRA_NAME.fullmatch(name):
            leaves[name] = _leaf(child)
        else:
            raise FormatError("an identity document with a bad element name")
    if len(lists) != len(_LISTS) or not leaves.keys() >= set(_LEAVES):
        raise FormatError("an identity document that lacks an element")
    return lists, leaves


def _children(element: ElementTree.Element) -> list[ElementTree.Element]:
    """The children of an element that holds nothing else than elements."""
    children = list(element)
    for text in (element.text, *(child.tail for child in children)):
        if text and not _BLANK.fullmatch(text):
            raise FormatError("an identity document with stray text")
    if element.attrib or not all(isinstance(child.tag, str) for child in children):
        raise FormatError("an identity document with an attribute or entity")
    return children


def _leaf(element: ElementTree.Element) -> str:
    """The text of an element that holds nothing else than text."""
    if len(element) or element.attrib:
        raise FormatError("an identity document with an attribute or nested element")
    return element.text or ""
