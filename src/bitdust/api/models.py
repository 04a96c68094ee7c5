"""Models: live copies of what the node knows, pushed to WebSocket clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitdust.api.registry import POST, operation

if TYPE_CHECKING:
    from bitdust.api.node import Node

_EXAMPLE = {"model_name": "service"}


@operation(POST("/model/enable/v1"), example=_EXAMPLE)
async def enable_model_listener(node: Node, model_name: str, *, request_all: bool = False) -> None:
    """Push every change of a model to all WebSocket clients from now on.

    Each push is `{"type": "model", "payload": {"name", "id", "data", "created"}}`, with `deleted`
    once the item is gone. Models are `service`, `key`, `online_status`, `correspondent`,
    `conversation`, `message` (the newest 200), `private_file`, `remote_version`, `shared_location`
    and `shared_file` (those of connected shares).

    Args:
        model_name: the model.
        request_all: push all its items now.

    Raises:
        InvalidInput: there is no such model.

    Source: BitDust, second generation, enable_model_listener.
    """
    await node.models.enable(node.models.check(model_name), send=request_all)


@operation(POST("/model/disable/v1"), example=_EXAMPLE)
async def disable_model_listener(node: Node, model_name: str) -> None:
    """Push changes of a model no longer.

    Args:
        model_name: the model.

    Raises:
        InvalidInput: there is no such model.

    Source: BitDust, second generation, disable_model_listener.
    """
    await node.models.disable(node.models.check(model_name))


@operation(POST("/model/request/v1"), ignored=("query_details",), example=_EXAMPLE)
async def request_model_data(node: Node, model_name: str) -> None:
    """Push all items of a model to all WebSocket clients once.

    Args:
        model_name: the model.

    Raises:
        InvalidInput: there is no such model.

    Source: BitDust, second generation, request_model_data.
    """
    await node.models.send_all(node.models.check(model_name))
