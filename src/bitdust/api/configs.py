"""Settings of the running node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bitdust.api.blocking import in_pool
from bitdust.api.parameters import JsonValue
from bitdust.api.registry import GET, POST, operation

if TYPE_CHECKING:
    from bitdust.api.node import Node


@operation(
    GET("/config/get/v1"),
    GET("/config/get/{key:path}/v1"),
    cli="config get",
    ignored=("include_info",),
    example={"key": "services/supplier/donated-space"},
)
async def config_get(node: Node, key: str) -> dict[str, Any] | list[dict[str, Any]]:
    """Show one setting, or what is below a branch of the settings.

    Args:
        key: path of the setting, such as `services/supplier/donated-space`, or of a branch.

    Returns:
        The option: `key`, `label`, `type`, `value`, `default`, `readonly`, `info`, `effective`, and
        `min`, `max` or `possible_values` where there are any. For a branch, the list of what is
        directly below it, with `key` and `childs` for each further branch.

    Raises:
        InvalidSetting: there is no such setting; the hint names the nearest.

    Source: BitDust API, third generation, config_get.
    """
    if node.settings.is_branch(key):
        return node.settings.branch(key)
    return node.settings.view(key)


@operation(
    POST("/config/set/v1"),
    POST("/config/set/{key:path}/v1"),
    cli="config set",
    example={"key": "services/supplier/donated-space", "value": "16 GB"},
)
async def config_set(node: Node, key: str, value: JsonValue) -> dict[str, Any]:
    """Change one setting.

    The value is checked against the type and the range of the setting, and written to disk before
    the call returns.

    Args:
        key: path of the setting.
        value: the new value; sizes take units, such as `8 GB`.

    Returns:
        The option as `config_get` shows it, with `old_value`.

    Raises:
        InvalidSetting: there is no such setting, or the value does not fit it.
        DamagedSettings: the file of the setting is damaged; it is not overwritten.
        LocalFileError: the file cannot be written.

    Source: BitDust API, third generation, config_set.
    """
    change = node.settings.prepare(key, value)
    old = await in_pool(node, node.settings.write, change)
    node.settings.notify(change)
    shown = node.settings.view(key)
    return {**shown, "old_value": change.setting.kind.show(old)}


@operation(GET("/config/list/v1"), cli="config list")
async def configs_list(
    node: Node, *, sort: bool = False, include_info: bool = True
) -> list[dict[str, Any]]:
    """List all settings.

    Args:
        sort: accepted for older clients; the list is always in alphabetical order.
        include_info: with the help text of each.

    Returns:
        A list of options as `config_get` shows them.

    Source: BitDust API, third generation, configs_list.
    """
    del sort
    views = node.settings.views()
    if not include_info:
        for view in views:
            del view["info"]
    return views


@operation(GET("/config/tree/v1"), cli="config tree")
async def configs_tree(node: Node) -> dict[str, Any]:
    """Show all settings as a tree.

    Returns:
        Objects nested by the parts of the keys; the leaves are options as `config_get` shows them.

    Source: BitDust API, third generation, configs_tree.
    """
    return node.settings.tree()
