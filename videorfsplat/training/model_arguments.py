"""The `model` of training settings: constructor arguments, checked before anything is loaded."""

import inspect
from collections.abc import Mapping
from typing import Any


def check_model_arguments(constructor: type, model: Mapping[str, Any]) -> None:
    """Check that a class takes these arguments by name.

    Raises:
        ValueError: naming those that it does not take, and those that it does.
    """
    known = list(inspect.signature(constructor).parameters)
    unknown = [name for name in model if name not in known]
    if unknown:
        raise ValueError(
            f"model: {constructor.__name__} takes no {', '.join(unknown)}; "
            f"it takes {', '.join(known)}"
        )
