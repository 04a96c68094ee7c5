"""The services of the node: what runs, what it stands on, and switching it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from bitdust.api.blocking import in_pool
from bitdust.api.envelope import Answer
from bitdust.api.parameters import Range
from bitdust.api.registry import GET, POST, operation
from bitdust.errors import ServiceOff

if TYPE_CHECKING:
    from bitdust.api.node import Node

_EXAMPLE = {"service_name": "service_supplier"}


@operation(GET("/service/list/v1"), cli="service list")
async def services_list(node: Node, *, with_configs: bool = False) -> list[dict[str, Any]]:
    """List the services of the node.

    Args:
        with_configs: with the settings of each.

    Returns:
        A list of `index`, `id`, `name`, `state`, `enabled`, `installed`, `healthy`, `depends`,
        `config_path`, `since`, `reason` and `info`, each service after those that it needs; with
        `configs` where they were asked for. States are `ON`, `OFF`, `STARTING`, `STOPPING`,
        `DEPENDS_OFF`, `NOT_INSTALLED` and `CLOSED`.

    Source: BitDust API, third generation, services_list.
    """
    rows = node.services.views()
    if with_configs:
        for row in rows:
            row["configs"] = _configs(node, row["config_path"])
    return rows


def _configs(node: Node, config_path: str) -> list[dict[str, Any]]:
    """Options directly below the branch of a service."""
    branch = node.settings.branch(config_path.rpartition("/")[0])
    return [entry for entry in branch if "value" in entry]


@operation(
    GET("/service/info/v1"),
    GET("/service/info/{service_name}/v1"),
    cli="service info",
    example={"service_name": "service_supplier"},
)
async def service_info(node: Node, service_name: str) -> dict[str, Any]:
    """Show one service.

    Args:
        service_name: such as `service_supplier`; `supplier` and `my-data` are understood as well.

    Returns:
        The service as `services_list` shows it, with `configs` and `dependents`.

    Raises:
        NotFound: there is no such service; the hint names the nearest.

    Source: BitDust API, third generation, service_info.
    """
    graph = node.services.graph
    name = graph.resolve(service_name)
    row = node.services.view(name)
    row["configs"] = _configs(node, row["config_path"])
    above = graph.dependents(name)
    row["dependents"] = [graph.specs[other].full_name for other in graph.order if other in above]
    return row


@operation(
    GET("/service/health/v1"),
    GET("/service/health/{service_name}/v1"),
    cli="service health",
    example={"service_name": "service_supplier"},
)
async def service_health(node: Node, service_name: str) -> bool:
    """Tell whether a service is up and does its work.

    Args:
        service_name: such as `service_supplier`.

    Returns:
        True or false.

    Raises:
        NotFound: there is no such service; the hint names the nearest.

    Source: BitDust, second generation, service/health.
    """
    return node.services.healthy(node.services.graph.resolve(service_name))


@operation(
    POST("/service/start/v1"),
    POST("/service/start/{service_name}/v1"),
    cli="service start",
    example=_EXAMPLE,
)
async def service_start(node: Node, service_name: str) -> Answer:
    """Switch a service on, and start it at once.

    Its setting is set to true. Enabled services that stand on it are started as well.

    Args:
        service_name: such as `service_supplier`.

    Returns:
        The service as `services_list` shows it.

    Raises:
        NotFound: there is no such service; the hint names the nearest.
        ServiceOff: it is switched on now and cannot run yet, with the reason.

    Source: BitDust API, third generation, service_start.
    """
    name = await _switch(node, service_name, True)
    full_name = node.services.graph.specs[name].full_name
    if not node.services.is_on(name):
        failure = node.services.failure(name)
        if failure is not None:
            raise failure
        culprit, reason = node.services.explain(name)
        blocking = node.services.graph.specs[culprit].full_name
        raise ServiceOff(
            f"{full_name} is switched on, and does not run yet: {reason}",
            hint=f"see `bitdust service info {blocking}`",
        )
    return Answer(node.services.view(name), message=f"{full_name} was switched on")


@operation(
    POST("/service/stop/v1"),
    POST("/service/stop/{service_name}/v1"),
    cli="service stop",
    example=_EXAMPLE,
)
async def service_stop(node: Node, service_name: str) -> Answer:
    """Switch a service off, and stop it at once.

    Its setting is set to false. Services that stand on it are stopped as well, and stay enabled.

    Args:
        service_name: such as `service_supplier`.

    Returns:
        The service as `services_list` shows it.

    Raises:
        NotFound: there is no such service; the hint names the nearest.

    Source: BitDust API, third generation, service_stop.
    """
    name = await _switch(node, service_name, False)
    full_name = node.services.graph.specs[name].full_name
    return Answer(node.services.view(name), message=f"{full_name} was switched off")


async def _switch(node: Node, service_name: str, value: bool) -> str:
    import asyncio

    name = node.services.graph.resolve(service_name)
    change = node.settings.prepare(node.services.graph.specs[name].config_path, value)
    await in_pool(node, node.settings.write, change)
    node.settings.notify(change)
    # a caller that goes away must not leave services half-way
    await asyncio.shield(node.services.begin())
    return name


@operation(
    POST("/service/restart/v1"),
    POST("/service/restart/{service_name}/v1"),
    cli="service restart",
    example=_EXAMPLE,
)
async def service_restart(
    node: Node, service_name: str, *, wait_timeout: Annotated[float, Range(0, 600)] = 10.0
) -> Answer:
    """Stop a service and start it again, with all that stand on it.

    Its setting is not changed. A service that is switched off is left alone.

    Args:
        service_name: such as `service_supplier`.
        wait_timeout: seconds to wait; the restart goes on in the background after that.

    Returns:
        Two objects: `stopped` and `started`, each true or false.

    Raises:
        NotFound: there is no such service; the hint names the nearest.
        ServiceOff: it is switched off.

    Source: BitDust API, third generation, service_restart.
    """
    import asyncio

    name = node.services.graph.resolve(service_name)
    spec = node.services.graph.specs[name]
    if not node.settings.get_bool(spec.config_path):
        raise ServiceOff(
            f"{spec.full_name} is switched off",
            hint=f"start it with `bitdust service start {spec.full_name}`",
        )
    was_on = node.services.is_on(name)
    work = node.services.begin({name})
    done, _ = await asyncio.wait({work}, timeout=wait_timeout)
    for task in done:
        task.result()
    result = [{"stopped": was_on}, {"started": bool(done) and node.services.is_on(name)}]
    outcome = "was restarted" if result[1]["started"] else "is not up yet"
    return Answer(result, message=f"{spec.full_name} {outcome}")
