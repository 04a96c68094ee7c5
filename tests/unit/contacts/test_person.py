"""From what a user types to a person."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitdust.contacts import find_person, parse_address
from bitdust.crypto import PrivateKey
from bitdust.errors import IdentityServerError, InvalidName, NotFound
from bitdust.identity import IdentityDocument, sign_document
from bitdust.ids import IDURL


@pytest.fixture(scope="module")
def document() -> IdentityDocument:
    return sign_document(
        PrivateKey.generate(1024),
        sources=[IDURL.parse("http://names.test/carol.xml")],
        contacts=[],
        revision=1,
        now=1.0,
    )


@pytest.mark.parametrize(
    "text",
    [
        "carol@names.test",
        " carol@names.test ",
        "http://names.test/carol.xml",
        "master$carol@names.test",
        "photos$carol@names.test",
    ],
)
async def test_every_form_of_an_address_means_the_same_person(
    text: str, document: IdentityDocument
) -> None:
    asked = []

    async def resolve(idurl: IDURL) -> IdentityDocument:
        asked.append(str(idurl))
        return document

    assert await find_person(text, resolve, ()) is document
    assert asked == ["http://names.test/carol.xml"]


async def test_names_are_asked_for_in_order(document: IdentityDocument) -> None:
    async def resolve(idurl: IDURL) -> IdentityDocument:
        raise AssertionError(idurl)

    async def nobody(name: str) -> None:
        assert name == "SuperMario"

    async def friend(name: str) -> IdentityDocument | None:
        return document if name == "SuperMario" else None

    assert await find_person(" SuperMario ", resolve, (nobody, friend)) is document
    with pytest.raises(NotFound, match="unknown user 'SuperMario'") as caught:
        await find_person("SuperMario", resolve, (nobody,))
    assert "friend list" in caught.value.hint


async def test_an_unknown_address_is_an_unknown_user_and_a_server_away_is_not() -> None:
    async def unknown(idurl: IDURL) -> IdentityDocument:
        raise NotFound(f"no identity is known at {idurl}")

    async def away(idurl: IDURL) -> IdentityDocument:
        raise IdentityServerError("away")

    with pytest.raises(NotFound, match=r"unknown user carol@names\.test"):
        await find_person("carol@names.test", unknown, ())
    with pytest.raises(IdentityServerError):
        await find_person("carol@names.test", away, ())


@pytest.mark.parametrize("text", ["", "   ", "a\nb", "x" * 65, "@", "carol@", "http://x/"])
def test_what_names_nobody(text: str) -> None:
    with pytest.raises(InvalidName):
        parse_address(text)


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=100))
def test_any_text_is_an_address_a_name_or_invalid(text: str) -> None:
    try:
        found = parse_address(text)
    except InvalidName:
        return
    assert found is None or str(found.idurl).endswith(f"/{found.username}.xml")
