"""Parts of a published pipeline: by folder, or by id on the hub."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

PIPELINE_INDEX = "model_index.json"


def component_folder(source: str | Path, component: str, *, variant: str | None = None) -> Path:
    """The folder of one part of a pipeline; from the hub, only that part is fetched.

    Args:
        source: folder of a pipeline, folder of the part itself, or id of a pipeline on the hub.
        component: name of the part's subfolder.
        variant: precision of the stored weights where several are published, such as `bf16`.

    Raises:
        ValueError: if the source is neither a folder nor an id that the hub knows, or has no such
            part.
    """
    path = Path(source)
    if path.is_dir():
        folder = path / component if (path / PIPELINE_INDEX).exists() else path
    elif path.exists():
        raise ValueError(f"{source} is a file, expected a folder or a hub id")
    else:
        folder = _fetch(str(source), component, variant) / component
    if not folder.is_dir():
        raise ValueError(f"{source} has no {component}")
    return folder


def text_folder(source: str | Path, part: str) -> Path:
    """The folder of `tokenizer` or `text_encoder`, which stand side by side with or without a
    pipeline around them; raises as `component_folder`."""
    path = Path(source)
    return path / part if (path / part).is_dir() else component_folder(source, part)


def load_text_encoder(folder: Path, dtype: torch.dtype) -> Any:
    """A text encoder of transformers, as the class that its configuration names.

    Raises:
        ValueError: if transformers knows no such class.
    """
    names = read_config(folder).get("architectures") or [""]
    encoder_class = getattr(transformers, names[0], None)
    if encoder_class is None:
        raise ValueError(f"{folder}: transformers has no {names[0]!r}")
    return encoder_class.from_pretrained(folder, dtype=dtype).eval()


def _fetch(hub_id: str, component: str, variant: str | None) -> Path:
    weights = f"{component}/*.{variant}*safetensors" if variant else f"{component}/*.safetensors"
    try:
        folder = snapshot_download(
            hub_id,
            allow_patterns=[weights, f"{component}/*.json", f"{component}/*.model"],
            ignore_patterns=None if variant else ["*.bf16*", "*.fp16*"],
        )
    # The hub's errors are OSErrors or ValueErrors, whatever went wrong.
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{hub_id} is no folder, and the hub did not give it: {reason}") from error
    return Path(folder)


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a part.

    Raises:
        ValueError: naming the file, if it is missing or no JSON object.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing") from error
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(config).__name__}")
    return config


def read_shards(folder: Path, variant: str | None = None) -> Iterator[dict[str, Tensor]]:
    """The weights of a part in diffusers' layout, one file after the other.

    Tensors are mapped from the file: nothing is held that the caller does not keep.

    Args:
        folder: of the part.
        variant: precision of the stored weights where several are there, such as `bf16`.

    Raises:
        ValueError: naming the file: no weights, a shard that is missing or damaged.
    """
    for path in _shards(folder, variant):
        try:
            yield load_file(path)
        except FileNotFoundError as error:
            raise ValueError(f"{path} is missing, although the index lists it") from error
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error


def _shards(folder: Path, variant: str | None) -> list[Path]:
    infix = f".{variant}" if variant else ""
    single = folder / f"diffusion_pytorch_model{infix}.safetensors"
    if single.exists():
        return [single]
    index = folder / f"diffusion_pytorch_model.safetensors.index{infix}.json"
    if not index.exists():
        raise ValueError(f"{folder} holds no weights: neither {single.name} nor {index.name}")
    try:
        names = set(json.loads(index.read_bytes())["weight_map"].values())
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{index}: not an index of weights ({error})") from error
    return [folder / name for name in sorted(names)]
