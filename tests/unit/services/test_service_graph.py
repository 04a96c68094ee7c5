"""Names, circles and the graph of this version."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitdust.config import Settings
from bitdust.errors import NotFound
from bitdust.services import Graph, Spec, known_services


@pytest.mark.parametrize(
    "text", ["service_my_data", "my_data", "my-data", "service-my-data", " MY-DATA "]
)
def test_spellings_of_a_name(text: str) -> None:
    assert known_services().resolve(text) == "my_data"


def test_an_unknown_name_gets_a_hint() -> None:
    with pytest.raises(NotFound) as caught:
        known_services().resolve("service_suplier")
    assert "service_supplier" in caught.value.hint


def test_a_long_name_is_cut() -> None:
    with pytest.raises(NotFound) as caught:
        known_services().resolve("x" * 100_000)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "specs",
    [
        [Spec("a", ("b",), ""), Spec("b", ("a",), "")],
        [Spec("a", ("a",), "")],
        [Spec("a", ("nowhere",), "")],
        [Spec("a", (), ""), Spec("a", (), "")],
    ],
)
def test_senseless_graphs_are_refused(specs: list[Spec]) -> None:
    with pytest.raises(ValueError, match=r"circle|unknown|twice"):
        Graph(specs)


def test_every_service_has_its_setting(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    for spec in known_services().specs.values():
        assert settings.declaration(spec.config_path).effective
        assert settings.view(spec.config_path)["type"] == "boolean"


def test_what_needs_no_identity_needs_nothing_that_does() -> None:
    graph = known_services()
    for spec in graph.specs.values():
        if not spec.needs_identity:
            assert not any(graph.specs[need].needs_identity for need in spec.depends)


def test_storing_own_files_stands_on_the_network() -> None:
    graph = known_services()
    assert {"gateway", "employer", "backup_db", "my_data", "supplier"} <= graph.dependents(
        "network"
    )
    assert "supplier" not in graph.dependents("customer")
