"""Attributes of a scene that somebody chose, over what a prompt says."""

from collections.abc import Mapping
from typing import Any

Value = str | tuple[str, ...]
"""One of an attribute's values; of `secondary` and `secondary_color` a tuple of them."""

Choices = Mapping[str, Value | list[str] | None]
"""Attribute → the value that it shall have; `None` leaves it to the seed."""

LISTS = ("secondary", "secondary_color")
"""Attributes with several values."""

MOST_SECONDARY = 2
"""Things that may stand beside the main one."""


def check_choices(choices: Any) -> None:
    """Check that choices name attributes and values that worlds have.

    Raises:
        ValueError: naming the attribute, what it is and what it may be.
    """
    if not isinstance(choices, Mapping):
        raise ValueError(f"choices must be an object, got {choices!r:.60}")
    if not choices:
        return
    # The worlds bring a compiler along.
    from videorfsplat.data.worlds.caption_words import (
        ATTRIBUTE_VALUES,
    )

    for name, value in choices.items():
        if name not in ATTRIBUTE_VALUES:
            allowed = ", ".join(ATTRIBUTE_VALUES)
            raise ValueError(f"choices must be of {allowed}, got {name!r:.60}")
        if value is None:
            continue
        parts = value if isinstance(value, list | tuple) else [value]
        is_list = isinstance(value, list | tuple)
        wrong = [part for part in parts if part not in ATTRIBUTE_VALUES[name]]
        if wrong or is_list != (name in LISTS) or len(parts) > MOST_SECONDARY:
            allowed = ", ".join(ATTRIBUTE_VALUES[name])
            form = f"a list of up to {MOST_SECONDARY} of" if name in LISTS else "one of"
            raise ValueError(f"choices: {name} must be {form} {allowed}, got {value!r:.60}")
