"""Fingerprints of weights: caches and figures know by them what they were made with."""

import hashlib
from typing import Any

from torch import nn


def weights_hash(model: nn.Module, settings: str = "") -> str:
    """SHA-256 of a model's weights, whatever their precision, and of settings beside them."""
    digest = hashlib.sha256(settings.encode())
    add_weights(digest, model)
    return digest.hexdigest()


def add_weights(digest: Any, model: nn.Module) -> None:
    """Let a digest of `hashlib` go on over the names and values of a model's weights."""
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.float().cpu().numpy().tobytes())
