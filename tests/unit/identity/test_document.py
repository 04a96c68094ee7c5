from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as etree

import pytest

from bitdust.crypto import PrivateKey
from bitdust.errors import FormatError, IntegrityError, InvalidInput
from bitdust.identity import MAX_DOCUMENT_SIZE, IdentityDocument, sign_document
from bitdust.ids import IDURL

VECTORS = Path(__file__).parents[2] / "vectors" / "identity"
HOME = IDURL.parse("http://id.example.org/alice.xml")
SECOND = IDURL.parse("http://127.0.0.1:8084/alice.xml")


@pytest.fixture(scope="module")
def document(alice_key: PrivateKey) -> IdentityDocument:
    return sign_document(
        alice_key,
        sources=[HOME, SECOND],
        contacts=["tcp://192.0.2.7:7771", "quic://abc"],
        certificate="5a" * 32,
        dht_key=bytes(range(32)),
        revision=7,
        now=1_700_000_000,
        version="bitdust 0.1.0",
        extras=[("zone", "utc"), ("nick", "Älice & <Bob>")],
    )


def test_frozen_document() -> None:
    expected = json.loads((VECTORS / "alice.json").read_text())
    xml = (VECTORS / expected["xml"]).read_bytes()
    document = IdentityDocument.parse(xml)
    assert document.to_xml() == xml
    assert document.canonical().hex() == expected["canonical"]
    assert document.node_id.hex() == expected["node_id"]
    assert str(document.global_id) == expected["global_id"]
    assert document.revision == 42
    assert document.extras == (("nick", "Älice & <Bob>"), ("zone", "utc"))


def test_round_trip(document: IdentityDocument) -> None:
    again = IdentityDocument.parse(document.to_xml())
    assert again == document
    assert again.to_xml() == document.to_xml()
    assert again.name == "alice"
    assert again.idurl == HOME
    assert again.node_id == document.public_key.fingerprint
    assert again.date == "2023-11-14T22:13:20Z"


def test_form_of_the_xml_does_not_matter(document: IdentityDocument) -> None:
    root = etree.fromstring(document.to_xml())
    for node in root.iter():
        if node.text and not node.text.strip():
            node.text = None
        node.tail = None
    root[:] = sorted(root, key=lambda child: str(child.tag), reverse=True)
    flat = etree.tostring(root, encoding="us-ascii")
    assert b"\n" not in flat
    assert b"&#196;lice" in flat
    assert IdentityDocument.parse(flat) == document
    assert IdentityDocument.parse(b"\xef\xbb\xbf" + document.to_xml()) == document


def test_minimal_document(alice_key: PrivateKey) -> None:
    document = sign_document(alice_key, sources=[HOME])
    assert IdentityDocument.parse(document.to_xml()) == document
    assert document.contacts == ()
    assert document.certificate == ""
    assert document.dht_key == b""


def test_view(document: IdentityDocument) -> None:
    view = document.view(include_xml=True)
    assert json.loads(json.dumps(view)) == view
    assert view["name"] == "alice"
    assert view["idurl"] == "http://id.example.org/alice.xml"
    assert view["global_id"] == "alice@id.example.org"
    assert view["sources"] == [str(HOME), str(SECOND)]
    assert view["revision"] == "7"
    assert view["publickey"].startswith("ssh-rsa AAAA")
    assert view["xml"].encode() == document.to_xml()
    assert (view["certificates"], view["scrubbers"], view["postage"]) == ([], [], "1")
    assert set(view) - {"xml"} == set(document.view()) == {
        "name", "idurl", "global_id", "sources", "contacts", "certificates", "scrubbers",
        "postage", "date", "version", "revision", "publickey", "signature",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("element", "value"),
    [
        ("source", "http://evil.example.org/alice.xml"),
        ("contact", "tcp://203.0.113.1:7771"),
        ("postage", "2"),
        ("date", "2023-11-14T22:13:21Z"),
        ("version", "bitdust 0.1.1"),
        ("revision", "8"),
        ("tlscertificate", "5b" * 32),
        ("dhtkey", "5b" * 32),
        ("nick", "Mallory"),
    ],
)
def test_every_value_is_signed(document: IdentityDocument, element: str, value: str) -> None:
    text = document.to_xml().decode()
    changed = re.sub(f"<{element}>[^<]*<", f"<{element}>{value}<", text, count=1)
    assert changed != text
    with pytest.raises(IntegrityError, match="signature does not fit"):
        IdentityDocument.parse(changed.encode())


def test_values_cannot_wander_between_fields(document: IdentityDocument) -> None:
    for changed in (
        replace(document, contacts=document.contacts[:1], certificates=document.contacts[1:]),
        replace(document, sources=document.sources[::-1]),
        replace(document, extras=()),
        replace(document, extras=(*document.extras, ("zoom", "x"))),
        replace(document, scrubbers=("x",)),
    ):
        with pytest.raises(IntegrityError, match="signature does not fit"):
            IdentityDocument.parse(changed.to_xml())


def test_another_key_cannot_take_the_signature(
    document: IdentityDocument, mallory_key: PrivateKey
) -> None:
    with pytest.raises(IntegrityError):
        IdentityDocument.parse(replace(document, public_key=mallory_key.public).to_xml())


BAD_FORMS = {
    "empty": lambda xml: b"",
    "no xml": lambda xml: b"hello",
    "cut": lambda xml: xml[: len(xml) // 2],
    "two roots": lambda xml: xml + b"<identity/>",
    "other root": lambda xml: xml.replace(b"identity>", b"person>"),
    "latin-1": lambda xml: xml.decode().replace("utf-8", "latin-1").encode("latin-1"),
    "utf-16": lambda xml: xml.decode().replace("utf-8", "utf-16").encode("utf-16"),
    "xml 1.1": lambda xml: xml.replace(b"'1.0'", b"'1.1'"),
    "comment": lambda xml: xml.replace(b"<postage>", b"<!-- x --><postage>"),
    "comment in value": lambda xml: xml.replace(b"<postage>1", b"<postage><!-- x -->1"),
    "cdata": lambda xml: xml.replace(b"<postage>1", b"<postage><![CDATA[1]]>"),
    "instruction": lambda xml: xml.replace(b"<postage>", b"<?php ?><postage>"),
    "attribute on root": lambda xml: xml.replace(b"<identity>", b"<identity a='1'>"),
    "attribute on list": lambda xml: xml.replace(b"<sources>", b"<sources a='1'>"),
    "attribute on leaf": lambda xml: xml.replace(b"<postage>", b"<postage a='1'>"),
    "namespace": lambda xml: xml.replace(b"<identity>", b"<identity xmlns='urn:x'>"),
    "stray text": lambda xml: xml.replace(b"<postage>", b"x<postage>"),
    "stray text in list": lambda xml: xml.replace(b"<sources>", b"<sources>x"),
    "nested leaf": lambda xml: xml.replace(b"<postage>1", b"<postage><b>1</b>"),
    "wrong item": lambda xml: xml.replace(b"contact>", b"kontakt>"),
    "element twice": lambda xml: xml.replace(b"<postage>", b"<postage>1</postage><postage>"),
    "list twice": lambda xml: xml.replace(b"<sources>", b"<sources></sources><sources>"),
    "unknown list": lambda xml: xml.replace(b"<zone>utc", b"<zone><a>utc</a>"),
    "bad name": lambda xml: xml.replace(b"zone>", b"Zone>"),
    "undefined entity": lambda xml: xml.replace(b"<zone>utc", b"<zone>&utc;"),
    "signature gone": lambda xml: re.sub(rb"<signature>.*</signature>", b"", xml),
    "signature empty": lambda xml: re.sub(rb"<signature>.*</s", b"<signature></s", xml),
    "signature no base64": lambda xml: re.sub(rb"<signature>..", b"<signature>!!", xml),
    "signature loose base64": lambda xml: xml.replace(b"=</sig", b"==</sig"),
    "revision sign": lambda xml: xml.replace(b"<revision>7", b"<revision>+7"),
    "revision zero": lambda xml: xml.replace(b"<revision>7", b"<revision>07"),
    "revision digits": lambda xml: xml.replace(b"<revision>7", "<revision>٧".encode()),
    "revision huge": lambda xml: xml.replace(b"<revision>7", b"<revision>" + b"7" * 4301),
    "revision over": lambda xml: xml.replace(b"<revision>7", b"<revision>9007199254740992"),
    "revision blank": lambda xml: xml.replace(b"<revision>7", b"<revision> 7"),
    "dht key": lambda xml: xml.replace(b"<dhtkey>00", b"<dhtkey>"),
    "dht key case": lambda xml: xml.replace(b"0a0b", b"0A0B"),
    "certificate": lambda xml: xml.replace(b"5a5a</", b"5a5g</"),
    "key": lambda xml: xml.replace(b"ssh-rsa AAAA", b"ssh-rsa BAAA"),
    "key with comment": lambda xml: xml.replace(b"</publickey>", b" me</publickey>"),
    "source": lambda xml: xml.replace(b"http://id", b"https://id"),
    "source form": lambda xml: xml.replace(b"id.example.org/", b"id.example.org:80/"),
    "source twice": lambda xml: xml.replace(b"127.0.0.1:8084", b"id.example.org"),
    "contact": lambda xml: xml.replace(b"tcp://192.0.2.7", b"192.0.2.7"),
    "contact line": lambda xml: xml.replace(b"192.0.2.7:7771", b"192.0.2.7\n:7771"),
    "date": lambda xml: xml.replace(b"2023-11", b"Nov 2023"),
    "control": lambda xml: xml.replace(b"<zone>utc", b"<zone>u\ttc"),
    "too long": lambda xml: xml + b" " * MAX_DOCUMENT_SIZE,
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FORMS)
def test_bad_forms(document: IdentityDocument, name: str) -> None:
    xml = document.to_xml()
    bad = BAD_FORMS[name](xml)
    assert bad != xml
    with pytest.raises(FormatError):
        IdentityDocument.parse(bad)


@pytest.mark.parametrize(
    "element", ["sources", "contacts", "certificates", "scrubbers", "postage", "date", "version",
                "revision", "publickey", "tlscertificate", "dhtkey", "signature"],
)  # fmt: skip
def test_no_element_may_lack(document: IdentityDocument, element: str) -> None:
    root = etree.fromstring(document.to_xml())
    root.remove(root.find(element))
    with pytest.raises(FormatError, match="lacks an element"):
        IdentityDocument.parse(etree.tostring(root))


class TestBombs:
    def attack(self, prologue: bytes, document: IdentityDocument, value: bytes) -> None:
        xml = document.to_xml().partition(b"?>")[2]
        bomb = prologue + xml.replace(b"<zone>utc", b"<zone>" + value)
        begun = time.monotonic()
        with pytest.raises(FormatError):
            IdentityDocument.parse(bomb)
        assert time.monotonic() - begun < 5

    def test_billion_laughs(self, document: IdentityDocument) -> None:
        lines = [b"<!DOCTYPE identity [<!ENTITY e0 'ha'>"]
        lines += [
            b"<!ENTITY e%d '%s'>" % (level, b"&e%d;" % (level - 1) * 10) for level in range(1, 30)
        ]
        self.attack(b"".join(lines) + b"]>", document, b"&e29;")

    def test_quadratic_blowup(self, document: IdentityDocument) -> None:
        prologue = b"<!DOCTYPE identity [<!ENTITY a '" + b"a" * 20_000 + b"'>]>"
        self.attack(prologue, document, b"&a;" * 5000)

    @pytest.mark.parametrize("target", ["file:///etc/passwd", "http://127.0.0.1:9/x"])
    def test_external_entity(self, document: IdentityDocument, target: str) -> None:
        prologue = f"<!DOCTYPE identity [<!ENTITY x SYSTEM '{target}'>]>".encode()
        self.attack(prologue, document, b"&x;")

    def test_external_dtd(self, document: IdentityDocument) -> None:
        self.attack(b"<!DOCTYPE identity SYSTEM 'file:///etc/passwd'>", document, b"utc")

    def test_hidden_in_another_encoding(self, document: IdentityDocument) -> None:
        text = (
            "<!DOCTYPE identity [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><identity>&x;</identity>"
        )
        for encoding in ("utf-16", "utf-32", "utf-7"):
            raw = f"<?xml version='1.0' encoding='{encoding}'?>".encode() + text.encode(encoding)
            with pytest.raises(FormatError):
                IdentityDocument.parse(raw)

    @pytest.mark.parametrize(
        "xml",
        [
            b"<a>" * 20_000,
            b"<identity>" + b"<a>" * 8_000 + b"</a>" * 8_000 + b"</identity>",
            b"<identity " + b" ".join(b"a%d='1'" % n for n in range(6000)) + b"/>",
            b"<identity>" + b"<a/>" * 15_000 + b"</identity>",
            b"<identity>" + b"&#65;" * 12_000 + b"</identity>",
            b"<" + b"a" * 60_000 + b"/>",
            b"\x00" * 60_000,
            b"<identity>" * 2_000_000,
        ],
    )
    def test_deep_wide_and_huge(self, xml: bytes) -> None:
        begun = time.monotonic()
        with pytest.raises(FormatError):
            IdentityDocument.parse(xml)
        assert time.monotonic() - begun < 5


class TestSigning:
    @pytest.mark.parametrize(
        "values",
        [
            {"sources": []},
            {"sources": [HOME, HOME]},
            {"sources": [IDURL("h", n, "alice") for n in range(1, 10)]},
            {"contacts": ["tcp://h:1"] * 2},
            {"contacts": [f"tcp://h:{n}" for n in range(17)]},
            {"contacts": ["nonsense"]},
            {"contacts": ["tcp://" + "h" * 300]},
            {"certificate": "AB" * 32},
            {"certificate": "ab"},
            {"dht_key": b"short"},
            {"revision": -1},
            {"revision": 2**53},
            {"version": "x" * 65},
            {"version": "a\nb"},
            {"now": 1e18},
            {"extras": [("Bad", "x")]},
            {"extras": [("signature", "x")]},
            {"extras": [("source", "a"), ("source", "b")]},
            {"extras": [("x", "a\nb")]},
            {"extras": [("x", "\ud800")]},
            {"extras": [("x", "\ufffe")]},
            {"extras": [("x", "a" * 4097)]},
            {"extras": [(f"x{n}", "<" * 4096) for n in range(16)]},
        ],
    )
    def test_what_no_reader_would_take_is_not_signed(
        self, alice_key: PrivateKey, values: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidInput):
            sign_document(alice_key, **{"sources": [HOME], **values})

    def test_most_that_fits(self, alice_key: PrivateKey) -> None:
        document = sign_document(
            alice_key,
            sources=[IDURL("h" * 200, n, "a" * 64) for n in range(1, 9)],
            contacts=[f"tcp://{'&' * 200}:{n}" for n in range(16)],
            extras=[(f"x{n}", "ä" * 1024) for n in range(16)],
            revision=2**53 - 1,
        )
        assert IdentityDocument.parse(document.to_xml()) == document

    def test_what_grows_too_long_when_written_is_refused(self, alice_key: PrivateKey) -> None:
        document = sign_document(alice_key, sources=[HOME])
        big = replace(document, extras=tuple((f"x{n:02}", ">" * 4000) for n in range(16)))
        signed = replace(big, signature=alice_key.sign(big.canonical()))
        # Written with a bare '>', which XML allows in text, it is just short enough to be read.
        raw = signed.to_xml().replace(b"&gt;", b">")
        assert len(raw) <= MAX_DOCUMENT_SIZE
        with pytest.raises(FormatError, match="written out"):
            IdentityDocument.parse(raw)
