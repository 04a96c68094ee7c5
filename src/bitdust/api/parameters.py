"""Parameters of operations: raw JSON or text in, typed values out, errors that name the parameter.

Every interface hands over what it got (a JSON object, query arguments, words of a command line) and
gets typed values or one ``InvalidParameters`` that lists everything that was wrong.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Annotated, Any, NewType, Union, get_args, get_origin

from bitdust.errors import BitdustError, InvalidInput, NoIdentity
from bitdust.ids import BackupID, GlobalID, KeyID, PathID, RemotePath, looks_like_version

MAX_TEXT = 64 * 1024
"""Characters of the longest text parameter."""
MAX_PERSON = 64
"""Characters of a person's alias or nickname."""
MAX_ITEMS = 1000
"""Entries of the longest list parameter."""
MAX_DEPTH = 64
"""Nesting of a free JSON parameter."""
MAX_INT = 2**63 - 1

_TRUE = frozenset({"1", "true", "yes", "ok", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})

Target = RemotePath | PathID | BackupID
"""An item of the catalog: by remote path, by item id, or one version of it."""

LocalPath = NewType("LocalPath", str)
"""An absolute path on this machine."""

Word = NewType("Word", str)
"""Text that may come as a number."""


Person = NewType("Person", str)
"""A person: IDURL, global id, a friend's alias or a nickname; see ``Node.find_person``."""


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a number, both included; used as ``Annotated[int, Range(1, 9)]``."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AnyJson:
    """Marks a parameter that takes any JSON value; see ``JsonValue``."""


JsonValue = Annotated[Any, AnyJson()]


@dataclass(frozen=True, slots=True)
class Context:
    """What conversion needs to know besides the value.

    Args:
        owner: this node's person, who is meant when a path or key names nobody.
        textual: the values are words (query, command line) and not JSON.
        current: the name somebody has now, given one of now or from before.
    """

    owner: GlobalID | None = None
    textual: bool = False
    current: Callable[[GlobalID], GlobalID] = field(default=lambda name: name)

    def key(self, key_id: KeyID) -> KeyID:
        """A key under its owner's present name."""
        owner = self.current(key_id.owner)
        return key_id if owner == key_id.owner else KeyID(key_id.alias, owner)


class InvalidParameters(InvalidInput):
    """One or more parameters that cannot be taken.

    Args:
        errors: one line per parameter, ``name: what is wrong``.
    """

    def __init__(self, errors: list[str], *, hint: str = "") -> None:
        super().__init__("; ".join(errors), hint=hint)
        self.errors = errors


class Refused(Exception):
    """A raw value that does not fit; the text says why, without the name of the parameter."""


_TEXT: Mapping[str, Any] = {"type": "string", "maxLength": MAX_TEXT}

Converter = Callable[[object, Context], Any]


def _kind_of(raw: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "text"}
    if raw is None:
        return "null"
    if isinstance(raw, dict):
        return "an object"
    return "a list" if isinstance(raw, list) else names.get(type(raw), type(raw).__name__)


def _text(raw: object, context: Context) -> str:
    del context
    if not isinstance(raw, str):
        raise Refused(f"must be text, not {_kind_of(raw)}")
    if len(raw) > MAX_TEXT:
        raise Refused(f"longer than {MAX_TEXT} characters")
    if "\x00" in raw:
        raise Refused("holds a NUL character")
    try:
        raw.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise Refused("is not valid Unicode") from None
    return raw


def _octets(raw: object, context: Context) -> bytes:
    del context
    if not isinstance(raw, str):
        raise Refused(f"must be text, not {_kind_of(raw)}")
    if len(raw) > MAX_TEXT:
        raise Refused(f"longer than {MAX_TEXT} bytes")
    try:
        return raw.encode("latin-1")
    except UnicodeEncodeError:
        raise Refused("holds characters above 255, which are no bytes") from None


def _local_path(raw: object, context: Context) -> LocalPath:
    text = _text(raw, context)
    if not PurePath(text).is_absolute():
        raise Refused(f"must be an absolute path, not {text[:120]!r}")
    return LocalPath(text)


def _word(raw: object, context: Context) -> Word:
    if isinstance(raw, int) and not isinstance(raw, bool) and abs(raw) <= MAX_INT:
        raw = str(raw)
    return Word(_text(raw, context))


def _person(raw: object, context: Context) -> Person:
    text = _text(raw, context).strip()
    if "@" in text or "://" in text:
        GlobalID.parse(text if "://" in text else text.rpartition("$")[2])
    elif not 0 < len(text) <= MAX_PERSON or not text.isprintable():
        raise Refused("must be a global id, an IDURL or a name")
    return Person(text)


def _boolean(raw: object, context: Context) -> bool:
    del context
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, int) and raw in (0, 1):
        return raw == 1
    if isinstance(raw, str):
        word = raw[:10].strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    raise Refused("must be true or false")


def _integer(bounds: Range) -> Converter:
    def convert(raw: object, context: Context) -> int:
        del context
        if isinstance(raw, str) and re.fullmatch(r"-?\d{1,19}", raw.strip(), re.ASCII):
            raw = int(raw)
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise Refused("must be a whole number")
        if not bounds.low <= raw <= bounds.high:
            raise Refused(f"must be between {bounds.low:.0f} and {bounds.high:.0f}")
        return raw

    return convert


def _number(bounds: Range) -> Converter:
    def convert(raw: object, context: Context) -> float:
        del context
        if isinstance(raw, str) and re.fullmatch(r"-?\d{1,19}(\.\d{1,19})?", raw.strip(), re.ASCII):
            raw = float(raw)
        if isinstance(raw, bool) or not isinstance(raw, int | float):
            raise Refused("must be a number")
        if (isinstance(raw, float) and not math.isfinite(raw)) or not (
            bounds.low <= raw <= bounds.high
        ):
            raise Refused(f"must be between {bounds.low:g} and {bounds.high:g}")
        return float(raw)

    return convert


def _texts(raw: object, context: Context) -> list[str]:
    if isinstance(raw, str):
        words = [word for word in re.split(r"[\s,]+", _text(raw, context)) if word]
    elif isinstance(raw, list):
        words = [_text(word, context) for word in raw]
    else:
        raise Refused(f"must be a list of texts, not {_kind_of(raw)}")
    if len(words) > MAX_ITEMS:
        raise Refused(f"has more than {MAX_ITEMS} entries")
    return words


def _json(raw: object, context: Context) -> Any:
    if context.textual and isinstance(raw, str):
        if len(raw) > MAX_TEXT:
            raise Refused(f"longer than {MAX_TEXT} characters")
        try:
            raw = json.loads(raw)
        except (ValueError, RecursionError):
            return raw
    pending: list[tuple[object, int]] = [(raw, 0)]
    while pending:
        value, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise Refused(f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            pending.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list):
            pending.extend((item, depth + 1) for item in value)
    return raw


def _remote_path(raw: object, context: Context) -> RemotePath:
    text = _text(raw, context)
    if context.owner is None and "@" not in text.partition(":")[0]:
        # a bare path is meant under one's own master key, and there is nobody here yet
        raise NoIdentity("this node has no identity yet")
    remote = RemotePath.parse(text, context.owner.key() if context.owner else None)
    return replace(remote, key_id=context.key(remote.key_id))


def _target(raw: object, context: Context) -> Target:
    text = _text(raw, context)
    head, _, rest = text.rpartition(":")
    if PathID.looks_like(text):
        return PathID.parse(text)
    path_id, _, version = rest.rpartition("/")
    if looks_like_version(version) and PathID.looks_like(path_id) and (head or context.owner):
        version_id = BackupID.parse(text, context.owner.key() if context.owner else None)
        return replace(version_id, key_id=context.key(version_id.key_id))
    return _remote_path(text, context)


def _key_id(raw: object, context: Context) -> KeyID:
    text = _text(raw, context)
    if context.owner is not None and "@" not in text and not text.startswith(("http://", "dht://")):
        return context.owner.key(text.strip().removesuffix("$"))
    return context.key(KeyID.parse(text))


def _global_id(raw: object, context: Context) -> GlobalID:
    return context.current(GlobalID.parse(_text(raw, context)))


@dataclass(frozen=True, slots=True)
class Kind:
    """How one type of parameter is called, converted, shown by example, and described.

    Args:
        label: what people call it.
        convert: makes a typed value of what a caller gave.
        example: a value that fits.
        schema: the JSON values that fit, as JSON Schema.
        names_person: it says who is meant.
    """

    label: str
    convert: Converter
    example: Any
    schema: Mapping[str, Any] = field(default_factory=dict)
    names_person: bool = False


def kind_of(annotation: Any) -> Kind:
    """The kind for a parameter's annotation; ``| None`` is ignored.

    Raises:
        TypeError: an annotation that operations may not use.
    """
    bounds = Range(-MAX_INT, MAX_INT)
    if get_origin(annotation) is Annotated:
        annotation, *marks = get_args(annotation)
        for mark in marks:
            if isinstance(mark, AnyJson):
                return Kind("JSON", _json, {"text": "A-B-C-D"})
            if isinstance(mark, Range):
                bounds = mark
    if annotation == Target:
        return Kind(
            "remote path, item id or version",
            _target,
            "master$alice@server-a.com:cat.png",
            _TEXT,
        )
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) == 1:
            return kind_of(members[0])
        if set(members) == set(get_args(Target)):
            return kind_of(Target)
    between = {"minimum": bounds.low, "maximum": bounds.high}
    simple: Mapping[Any, Kind] = {
        str: Kind("text", _text, "abcd", _TEXT),
        bytes: Kind("bytes as text", _octets, "abcd", _TEXT),
        Word: Kind("text or number", _word, "0", {"type": ["string", "integer"]}),
        Person: Kind("global id, IDURL or name", _person, "carol@computer-c.net", _TEXT, True),
        LocalPath: Kind(
            "local path",
            _local_path,
            "/tmp/cat.png",  # noqa: S108 - an example
            {**_TEXT, "pattern": "^/"},
        ),
        bool: Kind("boolean", _boolean, True, {"type": "boolean"}),
        int: Kind("integer", _integer(bounds), 1, {"type": "integer", **between}),
        float: Kind("number", _number(bounds), 10, {"type": "number", **between}),
        list[str]: Kind(
            "list of texts",
            _texts,
            ["abcd"],
            {"type": "array", "items": _TEXT, "maxItems": MAX_ITEMS},
        ),
        RemotePath: Kind("remote path", _remote_path, "master$alice@server-a.com:cat.png", _TEXT),
        KeyID: Kind("key id", _key_id, "abcd1234$alice@server-a.com", _TEXT),
        GlobalID: Kind("global id or IDURL", _global_id, "carol@computer-c.net", _TEXT, True),
    }
    if annotation not in simple:
        raise TypeError(f"an operation cannot have a parameter of type {annotation!r}")
    return simple[annotation]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an operation.

    Args:
        name: as callers spell it.
        kind: its type.
        required: must be given.
        default: value when it is not given.
    """

    name: str
    kind: Kind
    required: bool
    default: Any = None


def bind(
    parameters: Mapping[str, Parameter],
    raw: Mapping[str, object],
    context: Context,
    *,
    aliases: Mapping[str, str],
    ignored: frozenset[str],
) -> dict[str, Any]:
    """Typed arguments for an operation.

    Args:
        parameters: those of the operation, by name.
        raw: what the caller gave.
        context: who is meant by default, and whether ``raw`` are words.
        aliases: other spellings of parameters.
        ignored: names that are accepted without effect.

    Raises:
        InvalidParameters: missing, unknown, doubled or ill-typed parameters, all of them listed.
        NoIdentity: a bare path or name is meant for this node's person, and there is none yet.
    """
    arguments: dict[str, Any] = {}
    errors: list[str] = []
    hints: list[str] = []
    nobody: NoIdentity | None = None
    for given, value in list(raw.items())[:MAX_ITEMS]:
        name = given if given in parameters else aliases.get(given, given)
        if name not in parameters:
            if given not in ignored:
                errors.append(f"{_printable(given)}: unknown parameter")
                hints.append(_suggestion(given, parameters))
            continue
        parameter = parameters[name]
        if value is None or name in arguments:
            if value is not None:
                errors.append(f"{name}: given twice")
            continue
        try:
            arguments[name] = parameter.kind.convert(value, context)
        except Refused as exc:
            errors.append(f"{name}: {exc}")
        except NoIdentity as exc:
            nobody = exc
            arguments[name] = None
        except BitdustError as exc:
            errors.append(f"{name}: {exc.message}")
            hints.append(exc.hint)
    failed = {error.partition(":")[0] for error in errors}
    for parameter in parameters.values():
        if parameter.name not in arguments and parameter.name not in failed:
            if parameter.required:
                errors.append(f"{parameter.name}: missing")
            arguments[parameter.name] = parameter.default
    if errors:
        raise InvalidParameters(errors, hint=next(filter(None, hints), ""))
    if nobody is not None:
        raise nobody
    return arguments


def _printable(name: str) -> str:
    return ascii(name[:80])[1:-1] or "''"


def _suggestion(name: str, parameters: Mapping[str, Parameter]) -> str:
    if not parameters:
        return "this method takes no parameters"
    from difflib import get_close_matches

    near = get_close_matches(name[:80], parameters, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]}?"
    return "it takes " + ", ".join(parameters)
