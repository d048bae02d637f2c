"""`train`: train one part of the model, with an option for every field of its settings."""

import argparse
import ast
import dataclasses
import importlib
import inspect
import json
import textwrap
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videorfsplat.commands import Command, chosen_word, table

_PARTS = {
    "autoencoder": "the autoencoder, on single views",
    "text-encoder": "the text encoder and its tokenizer, on captions",
    "decoder": "the Gaussian decoder, on latents and cameras",
    "joint": "the transformer, on latents and cameras together",
    "few-step": "a LoRA with which few steps do what the guided sampler does in many",
    "probe": "the attribute probe that evaluation reads views with",
}
# Module in `videorfsplat.training`, settings class and function.
_ENTRIES = {
    "autoencoder": ("autoencoder", "AutoencoderTraining", "train_autoencoder"),
    "text-encoder": ("text_encoder", "TextEncoderTraining", "train_text_encoder"),
    "decoder": ("decoder", "DecoderTraining", "train_decoder"),
    "joint": ("joint", "JointTraining", "train_joint"),
    "few-step": ("few_step", "FewStepTraining", "train_few_step"),
    "probe": ("probe", "ProbeTraining", "train_probe"),
}


def main(words: Sequence[str]) -> int:
    """Train the part that the first word names."""
    part = chosen_word("videorfsplat train", "Train one part of the model.", _PARTS, words)
    module_name, class_name, function_name = _ENTRIES[part]
    module = importlib.import_module(f"videorfsplat.training.{module_name}")
    settings_class, train = getattr(module, class_name), getattr(module, function_name)

    def run(args: argparse.Namespace) -> dict[str, Any]:
        return {"model": str(train(settings_from_args(settings_class, args)))}

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        add_settings(parser, settings_class)

    description = (
        f"Train {_PARTS[part]}. A run that was stopped goes on when called again with the same "
        "settings. With several processes: accelerate launch -m videorfsplat train …"
    )
    return Command(f"videorfsplat train {part}", description, add_arguments, run, table).main(
        words[1:]
    )


def add_settings(parser: argparse._ActionsContainer, settings_class: Any) -> None:
    """An option for every field, those of nested dataclasses included; fields without default are
    required.
    """
    hints, texts = typing.get_type_hints(settings_class), _field_texts(settings_class)
    for field in dataclasses.fields(settings_class):
        kind = hints[field.name]
        if dataclasses.is_dataclass(kind):
            add_settings(parser.add_argument_group(field.name), kind)
            continue
        required = _default(field) is dataclasses.MISSING
        text = texts.get(field.name, "")
        if not required and _default(field) is not None:
            text = f"{text} (default: {_default(field)})".strip()
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            dest=field.name,
            required=required,
            default=argparse.SUPPRESS,
            # argparse expands % in help texts.
            help=text.replace("%", "%%"),
            **_parsing(kind),
        )


def settings_from_args(settings_class: Any, args: argparse.Namespace) -> Any:
    """The settings that the options of `add_settings` gave; the others keep their defaults."""
    hints, values = typing.get_type_hints(settings_class), {}
    for field in dataclasses.fields(settings_class):
        if dataclasses.is_dataclass(hints[field.name]):
            values[field.name] = settings_from_args(hints[field.name], args)
        elif hasattr(args, field.name):
            values[field.name] = getattr(args, field.name)
    return settings_class(**values)


def _parsing(kind: Any) -> dict[str, Any]:
    """What argparse must know to read a value of this type."""
    if isinstance(kind, types.UnionType):
        (kind,) = (option for option in typing.get_args(kind) if option is not type(None))
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if kind in (int, float, str):
        return {"type": kind, "metavar": kind.__name__.upper()}
    if typing.get_origin(kind) is dict:
        return {"type": _json_object, "metavar": "JSON"}
    raise TypeError(f"no option can hold a {kind}")


def _json_object(text: str) -> dict[str, Any]:
    """An object written out, or in a .json file."""
    try:
        value = json.loads(Path(text).read_bytes() if text.endswith(".json") else text)
    except (ValueError, OSError) as error:
        raise argparse.ArgumentTypeError(f"not a JSON object or file: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a JSON object, got {type(value).__name__}")
    return value


def _default(field: dataclasses.Field) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _field_texts(settings_class: type) -> dict[str, str]:
    """The string that stands below each field in the source."""
    source = textwrap.dedent(inspect.getsource(settings_class))
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    texts, name = {}, None
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and name:
            texts[name] = " ".join(str(node.value.value).split())
    return texts
