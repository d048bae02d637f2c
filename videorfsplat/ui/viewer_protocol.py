"""The messages that the page and the viewer exchange, checked against the viewer's own schema.

The types are defined once, in `viewer/src/protocol.ts`; the viewer's build derives the schema that
is read here. Cameras and positions are counted from 0; poses are camera→world in the frame of the
scene file with OpenGL camera axes, as in `transforms.json`.
"""

import json
from functools import cache
from typing import Any, Literal

from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from videorfsplat.formats.viewer_folder import VIEWER_FOLDER

Direction = Literal["HostMessage", "ViewerMessage"]
"""Page → viewer, and viewer → page."""

SCHEMA_NAME = "protocol.schema.json"


def protocol_version() -> int:
    """The version of the protocol, `v` in every message."""
    return _schema()["version"]


def message_types(direction: Direction) -> tuple[str, ...]:
    """The values of `type` that a direction knows, sorted."""
    return tuple(sorted(_validators(direction)))


def host_message(type: str, **fields: Any) -> dict[str, Any]:
    """A message to the viewer, such as `host_message("load", content=url)`.

    Fields that are `None` are left out, except those that give `null` a meaning: `cameras`.

    Raises:
        ValueError: saying what does not fit the protocol.
    """
    given = {k: v for k, v in fields.items() if v is not None or k == "cameras"}
    message = {"v": protocol_version(), "type": type, **given}
    check_message(message, "HostMessage")
    return message


def check_message(message: Any, direction: Direction) -> None:
    """Check a message against the protocol.

    Raises:
        ValueError: saying what does not fit.
    """
    validators = _validators(direction)
    kind = message.get("type") if isinstance(message, dict) else None
    if not isinstance(kind, str) or kind not in validators:
        known = ", ".join(sorted(validators))
        raise ValueError(f"a {direction} has type {known}, got {_shorten(message)}")
    error = best_match(validators[kind].iter_errors(message))
    if error is not None:
        where = "".join(f"[{part!r}]" for part in error.absolute_path)
        raise ValueError(f"message {kind}{where}: {_shorten(error.message)}")


@cache
def _schema() -> dict[str, Any]:
    path = VIEWER_FOLDER / SCHEMA_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: build the viewer with `npm run build`")
    return json.loads(path.read_text(encoding="utf-8"))


@cache
def _validators(direction: Direction) -> dict[str, Draft7Validator]:
    """One validator per message type: errors then speak of that type alone."""
    schema = _schema()
    definitions = schema["definitions"]
    validators = {}
    for option in definitions[direction]["anyOf"]:
        name = option["$ref"].removeprefix("#/definitions/")
        kind = definitions[name]["properties"]["type"]["const"]
        validators[kind] = Draft7Validator({**definitions[name], "definitions": definitions})
    return validators


def _shorten(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
