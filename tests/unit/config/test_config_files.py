"""Settings as files: defaults, writing, damage, views."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitdust.config import Settings, default_home
from bitdust.errors import DamagedSettings, InvalidSetting, LocalFileError

DONATED = "services/supplier/donated-space"


def test_without_files_every_setting_has_its_default(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    settings.check()
    assert settings.get(DONATED) == 8 * 1024**3
    assert settings.get_int("services/customer/suppliers-number") == 4
    assert settings.get_int("personal/private-key-size") == 3072
    assert settings.get_int("interface/api/rest-http-port") == 8180
    assert settings.get_bool("interface/api/auth-secret-enabled") is True
    assert settings.get_items("services/entangled-dht/known-nodes") == ()
    assert settings.get_path("paths/restore") is None
    assert settings.get_float("interface/api/shutdown-timeout") == 5.0
    assert list(tmp_path.iterdir()) == []


def test_a_value_is_written_to_the_file_of_its_key_and_read_back(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    assert settings.set(DONATED, "16 GB") == 8 * 1024**3
    path = tmp_path / "config" / "services" / "supplier" / "donated-space"
    assert path.read_text() == "16 GB\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert settings.get(DONATED) == 16 * 1024**3
    assert Settings(tmp_path).get(DONATED) == 16 * 1024**3
    assert [entry.name for entry in path.parent.iterdir()] == ["donated-space"]


def test_files_written_by_hand_are_read_in_any_spelling(tmp_path: Path) -> None:
    path = tmp_path / "config" / "services" / "supplier" / "donated-space"
    path.parent.mkdir(parents=True)
    path.write_text("  128 MiB \n\n")
    assert Settings(tmp_path).get_int(DONATED) == 128 * 1024**2


def test_a_file_is_read_once(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    settings.set(DONATED, "1 GB")
    (tmp_path / "config" / DONATED).write_text("2 GB")
    assert settings.get(DONATED) == 1024**3


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    with pytest.raises(InvalidSetting) as caught:
        settings.get("services/supplier/donated-spaces")
    assert "does not exist" in caught.value.message
    assert DONATED in caught.value.hint
    with pytest.raises(InvalidSetting) as caught:
        settings.set("donated-space", "1 GB")
    assert DONATED in caught.value.hint
    with pytest.raises(InvalidSetting) as caught:
        settings.get("../../etc/passwd")
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"a lot", b"\xff\xfe\x00", b"9" * 70000, b"-1 GB"])
def test_a_damaged_file_is_named_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config" / DONATED
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    settings = Settings(tmp_path)
    for attempt in (
        settings.check,
        lambda: settings.get(DONATED),
        lambda: settings.set(DONATED, "1 GB"),
        settings.views,
    ):
        with pytest.raises(DamagedSettings) as caught:
            attempt()
        assert str(path) in caught.value.message
        assert "8 GB" in caught.value.hint
    assert path.read_bytes() == content
    assert settings.get("services/customer/suppliers-number") == 4


def test_a_folder_in_place_of_a_file_is_damage(tmp_path: Path) -> None:
    (tmp_path / "config" / DONATED).mkdir(parents=True)
    with pytest.raises(DamagedSettings):
        Settings(tmp_path).get(DONATED)


def test_a_refused_value_changes_nothing(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    with pytest.raises(InvalidSetting) as caught:
        settings.set("services/customer/suppliers-number", 5)
    assert caught.value.message.startswith("services/customer/suppliers-number: ")
    assert settings.get("services/customer/suppliers-number") == 4
    assert not (tmp_path / "config").exists()


def test_an_unwritable_place_is_reported(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("in the way")
    settings = Settings(tmp_path)
    with pytest.raises(LocalFileError) as caught:
        settings.set(DONATED, "1 GB")
    assert caught.value.hint
    assert settings.get(DONATED) == 8 * 1024**3


def test_watchers_hear_of_changes_until_they_stop(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    heard: list[tuple[str, object]] = []
    unwatch = settings.watch(DONATED, lambda key, value: heard.append((key, value)))
    settings.set(DONATED, "1 GB")
    settings.set("services/customer/suppliers-number", 2)
    unwatch()
    settings.set(DONATED, "2 GB")
    assert heard == [(DONATED, 1024**3)]
    with pytest.raises(InvalidSetting):
        settings.watch("no/such/key", lambda key, value: None)


def test_views(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    view = settings.view("services/customer/suppliers-number")
    assert view["value"] == view["default"] == 4
    assert view["possible_values"] == [2, 4, 7, 13, 18, 26, 64]
    assert view["readonly"] is False
    assert view["effective"] is True
    assert view["type"] == "selection"
    assert settings.view("services/proxy-server/enabled")["effective"] is False
    assert "without effect" in settings.view("services/proxy-server/enabled")["info"]
    assert len(settings.views()) == len(settings.keys()) >= 159
    tree = settings.tree()
    assert tree["services"]["supplier"]["donated-space"]["value"] == "8 GB"
    below = settings.branch("services/network")
    assert {"key": "services/network/proxy", "childs": 6} in below
    assert any(entry["key"] == "services/network/enabled" for entry in below)
    assert settings.is_branch("services")
    assert not settings.is_branch(DONATED)
    assert len(settings.branch("")) == 5
    with pytest.raises(InvalidSetting):
        settings.branch("nothing/here")


def test_values_without_effect_are_kept(tmp_path: Path) -> None:
    Settings(tmp_path).set("services/proxy-server/routes-limit", "7")
    assert Settings(tmp_path).get("services/proxy-server/routes-limit") == 7


def test_the_home_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITDUST_HOME", str(tmp_path))
    assert default_home() == tmp_path
    monkeypatch.setenv("BITDUST_HOME", "")
    assert default_home() == Path.home() / ".bitdust"
