from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from bitdust.crypto import PrivateKey
from bitdust.errors import BitdustError, FormatError, IntegrityError
from bitdust.identity import IdentityDocument, parse_backup, sign_document
from bitdust.ids import IDURL

KEY = PrivateKey.generate(1024)
DOCUMENT = sign_document(
    KEY,
    sources=[IDURL.parse("http://id.example.org/alice.xml")],
    contacts=["tcp://192.0.2.7:7771"],
    certificate="5a" * 32,
    dht_key=bytes(range(32)),
    revision=3,
    now=1_700_000_000,
    version="bitdust 0.1.0",
    extras=[("nick", "Älice & <Bob>")],
)
XML = DOCUMENT.to_xml()
quick = settings(deadline=None, max_examples=150)

names = st.from_regex(r"[a-z0-9_-]{1,64}", fullmatch=True)
hosts = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
sources = st.builds(IDURL, hosts, st.integers(1, 65535), names)
texts = st.text(
    alphabet=st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"),
    max_size=50,
)


def same_meaning_or_refused(xml: bytes) -> None:
    try:
        parsed = IdentityDocument.parse(xml)
    except (FormatError, IntegrityError):
        return
    assert parsed == DOCUMENT


def test_every_single_byte_changed() -> None:
    for position in range(len(XML)):
        for change in (0x01, 0x20, 0x80):
            same_meaning_or_refused(
                XML[:position] + bytes((XML[position] ^ change,)) + XML[position + 1 :]
            )


@quick
@given(position=st.integers(0, len(XML) - 1), value=st.integers(0, 255))
def test_a_byte_replaced(position: int, value: int) -> None:
    same_meaning_or_refused(XML[:position] + bytes((value,)) + XML[position + 1 :])


@quick
@given(
    start=st.integers(0, len(XML)),
    length=st.integers(0, 40),
    inserted=st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [
                b"<x>1</x>",
                b"<contact>tcp://h:1</contact>",
                b"<revision>9</revision>",
                b" ",
                b"&#65;",
                b"<!---->",
            ]
        ),
    ),
)
def test_a_piece_replaced(start: int, length: int, inserted: bytes) -> None:
    same_meaning_or_refused(XML[:start] + inserted + XML[start + length :])


@quick
@given(raw=st.binary(max_size=500))
def test_junk(raw: bytes) -> None:
    same_meaning_or_refused(raw)
    same_meaning_or_refused(b"<identity>" + raw + b"</identity>")


@quick
@given(
    places=st.lists(sources, min_size=1, max_size=8, unique=True),
    contacts=st.lists(
        st.from_regex(r"[a-z][a-z0-9]{0,15}://[!-~]{1,60}", fullmatch=True),
        max_size=16,
        unique=True,
    ),
    extras=st.dictionaries(st.from_regex(r"x[a-z0-9_-]{0,31}", fullmatch=True), texts, max_size=16),
    revision=st.integers(0, 2**53 - 1),
    version=st.from_regex(r"[ -~]{0,64}", fullmatch=True),
    dht_key=st.sampled_from([b"", bytes(32), b"\xff" * 32]),
    now=st.integers(0, 4_000_000_000),
)
def test_what_is_signed_is_read_back(
    places: list[IDURL],
    contacts: list[str],
    extras: dict[str, str],
    revision: int,
    version: str,
    dht_key: bytes,
    now: int,
) -> None:
    document = sign_document(
        KEY,
        sources=places,
        contacts=contacts,
        extras=extras.items(),
        revision=revision,
        version=version,
        dht_key=dht_key,
        now=now,
    )
    again = IdentityDocument.parse(document.to_xml())
    assert again == document
    assert again.to_xml() == document.to_xml()
    assert again.canonical() == document.canonical()


@quick
@given(one=st.lists(texts, max_size=3), two=st.lists(texts, max_size=3))
def test_canonical_forms_of_different_values_differ(one: list[str], two: list[str]) -> None:
    a = replace(DOCUMENT, certificates=tuple(one), scrubbers=tuple(two))
    b = replace(DOCUMENT, certificates=tuple(two), scrubbers=tuple(one))
    assert (a.canonical() == b.canonical()) == (one == two)


@quick
@given(text=st.text(max_size=300))
def test_backups_raise_only_documented_errors(text: str) -> None:
    for candidate in (text, f"{text}\n-----BEGIN X"):
        try:
            parse_backup(candidate)
        except BitdustError:
            continue
