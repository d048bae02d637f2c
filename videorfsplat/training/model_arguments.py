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


def check_start(init: str | None, model: Mapping[str, Any], default: Mapping[str, Any]) -> None:
    """Check that constructor arguments are not given beside a model to start from.

    Raises:
        ValueError: if both are, as the model to start from has arguments of its own.
    """
    if init is not None and model != default:
        raise ValueError(
            f"model has no effect together with init: {init} has constructor arguments of its own; "
            "leave out one of the two"
        )
