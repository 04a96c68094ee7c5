"""The OpenAPI 3.1 description of the HTTP interface, made from the declarations.

Source: OpenAPI Specification 3.1.
"""

from __future__ import annotations

import re
from typing import Any

from bitdust import __version__
from bitdust.api.envelope import INTERNAL_ERROR, error_classes
from bitdust.api.parameters import Parameter
from bitdust.api.registry import Operation, Registry, Route

_IN_PATH = re.compile(r"\{(\w+)(:path)?\}")

MAX_IN_HEAD = 2000
"""Characters of a value that fit into a request's head whatever they are; bodies take more."""

_ENVELOPE: dict[str, Any] = {
    "type": "object",
    "required": ["status", "execution"],
    "properties": {
        "status": {"const": "OK"},
        "execution": {"type": "string", "description": "seconds it took"},
        "result": {
            "description": "what the operation returns; absent when there is nothing to say"
        },
        "message": {"type": "string", "description": "one sentence for people"},
    },
}


def describe(registry: Registry, *, port: int) -> dict[str, Any]:
    """The description of all operations.

    Args:
        registry: the operations.
        port: of the HTTP server.
    """
    paths: dict[str, dict[str, Any]] = {}
    tags: dict[str, None] = {}
    for entry in registry.operations.values():
        for number, route in enumerate(entry.routes):
            path = _IN_PATH.sub(r"{\1}", route.path)
            tags.setdefault(_tag(entry))
            paths.setdefault(path, {})[route.verb.lower()] = _operation(entry, route, number)
    paths["/rpc"] = {"post": _RPC}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "BitDust",
            "version": __version__,
            "description": "Operations of one node, for programs of the same machine.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": f"http://127.0.0.1:{port}"}],
        "security": [{"header": []}, {"query": []}],
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "header": {"type": "apiKey", "in": "header", "name": "api_secret"},
                "query": {"type": "apiKey", "in": "query", "name": "api_secret"},
            },
            "schemas": {"OK": _ENVELOPE, "Error": _error_schema(), "Envelope": _EITHER},
            "responses": {
                "Garbled": {
                    "description": "No HTTP request, or a head of more than 32 KiB.",
                    "content": {"text/plain": {"schema": {"type": "string"}}},
                },
                "Busy": {
                    "description": "Too many connections at one time.",
                    "content": {"text/plain": {"schema": {"type": "string"}}},
                },
                "Envelope": {
                    "description": "The envelope; the status is 200 for failures too.",
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Envelope"}}
                    },
                },
            },
        },
    }


def _tag(entry: Operation[..., Any]) -> str:
    return entry.name.partition("_")[0].removesuffix("s")


def _operation(entry: Operation[..., Any], route: Route, number: int) -> dict[str, Any]:
    described = entry.description
    in_path = {match[1] for match in _IN_PATH.finditer(route.path)}
    others = [parameter for parameter in entry.parameters.values() if parameter.name not in in_path]
    shown: dict[str, Any] = {
        "operationId": entry.name if number == 0 else f"{entry.name}_{number + 1}",
        "summary": described.summary,
        "tags": [_tag(entry)],
        "responses": {
            "200": {"$ref": "#/components/responses/Envelope"},
            "400": {"$ref": "#/components/responses/Garbled"},
            "503": {"$ref": "#/components/responses/Busy"},
        },
        "x-method": entry.name,
        "x-source": described.source,
    }
    details = [described.details, f"Result: {described.returns}" if described.returns else ""]
    if any(details):
        shown["description"] = "\n\n".join(filter(None, details))
    parameters = [_parameter(entry, entry.parameters[name], "path") for name in sorted(in_path)]
    if route.verb == "GET":
        parameters += [_parameter(entry, parameter, "query") for parameter in others]
    elif others:
        shown["requestBody"] = _body(entry, others)
    if parameters:
        shown["parameters"] = parameters
    return shown


def _parameter(entry: Operation[..., Any], parameter: Parameter, where: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": parameter.name,
        "in": where,
        "required": parameter.required or where == "path",
        "description": entry.description.parameters.get(parameter.name, parameter.kind.label),
        "schema": _schema(parameter),
    }
    schema = shown["schema"]
    if schema.get("type") == "array":
        shown |= {"style": "form", "explode": False}
        schema |= {"maxItems": MAX_IN_HEAD // 40, "items": {"type": "string", "maxLength": 40}}
    if schema.get("type") == "string":
        schema["maxLength"] = MAX_IN_HEAD
    if where == "path":
        schema["minLength"] = 1  # an empty segment is another route
    return shown


def _schema(parameter: Parameter) -> dict[str, Any]:
    schema = dict(parameter.kind.schema)
    if not parameter.required and parameter.default is not None:
        schema["default"] = parameter.default
    return schema


def _body(entry: Operation[..., Any], parameters: list[Parameter]) -> dict[str, Any]:
    properties = {}
    for parameter in parameters:
        text = entry.description.parameters.get(parameter.name, "")
        properties[parameter.name] = {**_schema(parameter), "description": text}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    required = [parameter.name for parameter in parameters if parameter.required]
    if required:
        schema["required"] = required
    return {"required": bool(required), "content": {"application/json": {"schema": schema}}}


def _error_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["status", "execution", "errors", "code"],
        "properties": {
            "status": {"const": "ERROR"},
            "execution": {"type": "string", "description": "seconds it took"},
            "errors": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "description": "what went wrong; for parameters `name: what is wrong`",
            },
            "code": {"enum": sorted({*error_classes(), INTERNAL_ERROR})},
            "hint": {"type": "string", "description": "what can be done"},
            "reason": {"type": "string", "description": "why another node refused"},
            "retryable": {"const": True},
            "error_id": {"type": "string", "description": "stands in the log"},
        },
    }


_EITHER: dict[str, Any] = {
    "oneOf": [{"$ref": "#/components/schemas/OK"}, {"$ref": "#/components/schemas/Error"}],
    "discriminator": {
        "propertyName": "status",
        "mapping": {"OK": "#/components/schemas/OK", "ERROR": "#/components/schemas/Error"},
    },
}

_CALL: dict[str, Any] = {
    "type": "object",
    "required": ["method"],
    "properties": {
        "jsonrpc": {"const": "2.0"},
        "method": {"type": "string", "minLength": 1},
        "params": {"type": ["object", "array"]},
        "id": {"type": ["string", "number", "null"]},
    },
}

_RPC: dict[str, Any] = {
    "operationId": "rpc",
    "summary": "JSON-RPC 2.0: single calls, batches, notifications; methods of any generation.",
    "tags": ["rpc"],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [_CALL, {"type": "array", "items": _CALL, "minItems": 1}]}
            }
        },
    },
    "responses": {
        "200": {
            "description": "The response, or the list of responses to a batch.",
            "content": {"application/json": {"schema": {"type": ["object", "array"]}}},
        },
        "204": {"description": "Notifications alone have no response."},
        "400": {"$ref": "#/components/responses/Garbled"},
        "503": {"$ref": "#/components/responses/Busy"},
    },
}
