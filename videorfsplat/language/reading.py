"""What a prompt states: read from the token states of the text encoder."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from videorfsplat.language.choices import Value
from videorfsplat.models.prompt_reader import RELATIONS, PromptReader, PromptReaderOutput

# Less than this share of the letters in Latin script: the encoder has no pieces for the rest.
_LATIN_SHARE = 0.5

# Captions of the worlds rule nothing out, so neither the reader nor the model learned to. Sizes and
# skies are said so, too: "no taller than", "without a cloud".
_NEGATION = re.compile(
    r"\b(no|not|without|never|don't|doesn't|isn't|aren't)\b"
    r"(?! (a |a single |any )?(cloud|tall|big|small|large|turn|more|too))",
    re.IGNORECASE,
)

# A colour of secondary objects or a token of a name counts from even odds on.
_EVEN = 0.5


class Stated(NamedTuple):
    """A value that a prompt states."""

    value: Value
    certainty: float
    """In [0, 1]."""


@dataclass(frozen=True)
class Reading:
    """What a prompt states of a scene, and how sure that is."""

    prompt: str
    stated: Mapping[str, Stated]
    """By attribute, only what is stated. `kind` is the nearest kind where the prompt names
    something that no world has."""
    relation: str
    """One of `models.prompt_reader.RELATIONS`."""
    name: str
    """The prompt's own words for the main object; empty if it has none."""

    @property
    def values(self) -> dict[str, Value]:
        """The stated values without their certainty."""
        return {attribute: stated.value for attribute, stated in self.stated.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that tell the writer what cannot be drawn as said."""
        kind = self.stated.get("kind")
        if self.relation == "foreign":
            return ("This model reads English only: what it understood is shown below.",)
        negation = _NEGATION.search(self.prompt)
        notes = []
        if kind is None:
            notes.append(
                "The sentence names no object that this model can draw: the seed chooses one."
            )
        elif self.relation == "near" and self.name:
            notes.append(f"No {self.name} in this model; nearest: {kind.value}.")
        if negation:
            notes.append(
                f"“{negation[1].lower()}” is not understood: what it rules out may appear."
            )
        return tuple(notes)


@torch.no_grad()
def read_prompts(
    tokenizer: PreTrainedTokenizerBase,
    text_encoder: PreTrainedModel,
    reader: PromptReader,
    prompts: list[str],
    device: torch.device | None = None,
) -> list[Reading]:
    """What each prompt states.

    Args:
        tokenizer: of the text encoder; a fast one, which knows the place of each token.
        text_encoder: gives token states as `last_hidden_state`.
        reader: trained on that encoder.
        prompts: not empty.
        device: where the models compute, if that is not where their weights are.
    """
    tokens = tokenizer(
        prompts, padding=True, truncation=True, return_tensors="pt", return_offsets_mapping=True
    )
    device = device or text_encoder.device
    mask = tokens["attention_mask"].to(device)
    states = text_encoder(tokens["input_ids"].to(device), attention_mask=mask).last_hidden_state
    output = reader(states.to(reader.dtype), mask)
    offsets = tokens["offset_mapping"]
    return [
        _reading(prompt, reader.config, _row(output, row), offsets[row].tolist())
        for row, prompt in enumerate(prompts)
    ]


def _row(output: PromptReaderOutput, row: int) -> PromptReaderOutput:
    return PromptReaderOutput(
        choices=[part[row].float() for part in output.choices],
        counts=output.counts[row].float(),
        colors=output.colors[row].float(),
        relation=output.relation[row].float(),
        names=output.names[row].float(),
    )


def _reading(
    prompt: str, config: Any, output: PromptReaderOutput, offsets: list[list[int]]
) -> Reading:
    stated: dict[str, Stated] = {}
    attributes: dict[str, list[str]] = config["attributes"]
    for name, logits in zip(sorted(attributes), output.choices, strict=True):
        values = attributes[name]
        *shares, unstated = logits.softmax(0).tolist()
        # Values share what is not left to "unstated": the surest one of them is what is meant.
        if unstated < _EVEN:
            best = max(range(len(values)), key=shares.__getitem__)
            stated[name] = Stated(values[best], shares[best])
    stated |= _secondary(config, output)
    relation = RELATIONS[int(output.relation.argmax())]
    if not _is_latin(prompt):
        relation = "foreign"
    return Reading(prompt, stated, relation, _name(prompt, output.names, offsets))


def _secondary(config: Any, output: PromptReaderOutput) -> dict[str, Stated]:
    shares, counts = output.counts.softmax(-1).max(-1)
    kinds = [k for k, n in zip(config["secondary"], counts.tolist(), strict=True) for _ in range(n)]
    if not kinds:
        return {}
    sure = shares[counts > 0].min()
    stated = {"secondary": Stated(tuple(kinds), float(sure))}
    chances = output.colors.sigmoid()
    chosen = (chances > _EVEN).nonzero()[:, 0].tolist()
    if chosen:
        colors = tuple(config["secondary_colors"][index] for index in chosen)
        stated["secondary_color"] = Stated(colors, float(chances[chosen].min()))
    return stated


def _name(prompt: str, logits: torch.Tensor, offsets: list[list[int]]) -> str:
    """The words around the surest run of tokens that belong to the name."""
    chances = logits.sigmoid().tolist()
    chosen = [i for i, (a, b) in enumerate(offsets) if b > a and chances[i] > _EVEN]
    if not chosen:
        return ""
    best = max(chosen, key=chances.__getitem__)
    first = last = best
    while first - 1 in chosen:
        first -= 1
    while last + 1 in chosen:
        last += 1
    start, end = offsets[first][0], offsets[last][1]
    while start > 0 and prompt[start - 1].isalpha():
        start -= 1
    while end < len(prompt) and prompt[end].isalpha():
        end += 1
    return prompt[start:end].lower()


def _is_latin(prompt: str) -> bool:
    letters = [letter for letter in prompt if letter.isalpha()]
    latin = sum(letter < "\u0250" for letter in letters)
    return latin >= _LATIN_SHARE * len(letters)
