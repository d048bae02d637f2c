"""Words for worlds: what prompts mean, and full captions for them."""

from typing import Any


def __getattr__(name: str) -> Any:
    # The worlds bring a compiler along, which nobody needs who only reads a prompt.
    if name == "ATTRIBUTE_VALUES":
        from videorfsplat.data.worlds.caption_words import (
            ATTRIBUTE_VALUES,
        )

        return ATTRIBUTE_VALUES
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
