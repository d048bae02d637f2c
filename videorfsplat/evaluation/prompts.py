"""Held-out prompts: sentences about worlds that no training saw, with what they state."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from videorfsplat.data.worlds import captions
from videorfsplat.data.worlds.dataset import HELD_OUT_SEED
from videorfsplat.data.worlds.grammar import World, sample_world

# Worlds of one evaluation seed; the reference scenes take the second half.
_WORLDS_PER_SEED = 1_000_000
# Stream of a world's randomness that words the prompt; data sets draw from 1 to 3.
_PROMPT_STREAM = 4

WORDINGS: dict[str, Callable[[World, np.random.Generator], tuple[str, captions.Mentions]]] = {
    "captions": captions.caption_mentions,
    "paraphrases": captions.paraphrase,
}
"""How a world is put into words: as in training, or in sentence patterns never seen there."""


@dataclass(frozen=True)
class Prompt:
    """A sentence, what it states of the attributes, and the seed of its noise."""

    index: int
    text: str
    mentions: captions.Mentions
    """Empty where nothing is known."""
    noise_seed: int
    """Of this prompt alone, so that runs pair by prompt whatever their batches are."""


def world_seed(seed: int, index: int) -> int:
    """Seed of the world that prompt `index` describes."""
    return HELD_OUT_SEED + seed * _WORLDS_PER_SEED + index


def reference_seed(seed: int, index: int) -> int:
    """Seed of reference scene `index`, a world that no prompt describes."""
    return world_seed(seed, _WORLDS_PER_SEED // 2 + index)


def held_out_prompts(count: int, seed: int, wording: str = "captions") -> list[Prompt]:
    """Prompts 0 to `count - 1` of an evaluation seed.

    Both wordings of an index speak of the same world, nearly always with the same words in another
    sentence, and have the same noise.

    Args:
        count: how many.
        seed: of the evaluation.
        wording: a key of `WORDINGS`.
    """
    prompts = []
    for index in range(count):
        world = sample_world(world_seed(seed, index))
        rng = np.random.default_rng((world.seed, _PROMPT_STREAM))
        text, mentions = WORDINGS[wording](world, rng)
        prompts.append(Prompt(index, text, mentions, noise_seed(seed, index)))
    return prompts


def noise_seed(seed: int, index: int) -> int:
    """Seed of the noise of prompt `index`."""
    return seed * _WORLDS_PER_SEED + index
