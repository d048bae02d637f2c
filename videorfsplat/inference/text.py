"""The text of a run: from prompts, or the embeddings in their place, to what both streams see."""

import logging
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from videorfsplat.language.limits import MAX_PROMPT_CHARACTERS

logger = logging.getLogger(__name__)

# Mochi's limit in tokens; a tokenizer with a smaller `model_max_length` sets its own.
MAX_SEQUENCE_LENGTH = 256


class TextCondition(NamedTuple):
    """The text of each scene in the batch, and what guidance contrasts it with."""

    prompt_embeds: Float[Tensor, "b l d"]
    prompt_attention_mask: Bool[Tensor, "b l"]
    negative_prompt_embeds: Float[Tensor, "b l d"] | None = None
    negative_prompt_attention_mask: Bool[Tensor, "b l"] | None = None

    def without_padding(self) -> "TextCondition":
        """The same up to the longest text: columns that all texts leave empty have no effect."""
        embeds, mask, negative_embeds, negative_mask = self
        used = mask if negative_mask is None else torch.cat([mask, negative_mask])
        places = used.any(dim=0).nonzero()
        length = int(places.max()) + 1 if len(places) else 1
        return TextCondition(
            embeds[:, :length],
            mask[:, :length],
            None if negative_embeds is None else negative_embeds[:, :length],
            None if negative_mask is None else negative_mask[:, :length],
        )


def encode_texts(
    tokenizer: Any, text_encoder: Any, prompts: list[str], length: int, device: torch.device
) -> tuple[Float[Tensor, "p l d"], Bool[Tensor, "p l"]]:
    """Embeddings of each text, and where they count; of an empty text they count nowhere.

    Args:
        tokenizer: of the encoder.
        text_encoder: gives token states as its first output.
        prompts: cut or filled to `length` tokens.
        length: tokens.
        device: of the encoder.

    Raises:
        ValueError: if there is no text encoder.
    """
    check_text_encoder(tokenizer, text_encoder)
    tokens = tokenizer(
        prompts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    )
    is_empty = torch.tensor([not prompt.strip() for prompt in prompts])
    mask = (tokens.attention_mask.bool() & ~is_empty[:, None]).to(device)
    longest = max(len(ids) for ids in tokenizer(prompts).input_ids)
    if longest > length:
        logger.warning("the prompt has %d tokens; only the first %d count", longest, length)
    embeds = text_encoder(tokens.input_ids.to(device), attention_mask=mask)[0]
    # Attention over nothing, in the rows of empty texts, may be NaN.
    return embeds.masked_fill(~mask[..., None], 0.0), mask


def batch_size(prompt: str | list[str] | None, prompt_embeds: Tensor | None) -> int:
    """The number of prompts, given as texts or as embeddings."""
    if prompt_embeds is not None:
        return len(prompt_embeds)
    return len(prompt) if isinstance(prompt, list) else 1


def check_text_encoder(tokenizer: Any, text_encoder: Any) -> None:
    """Check that there are both.

    Raises:
        ValueError: telling what to give instead.
    """
    if tokenizer is None or text_encoder is None:
        raise ValueError(
            "the pipeline has no text encoder: give prompt_embeds and prompt_attention_mask"
        )


def check_prompts(name: str, prompts: Any) -> None:
    """Check that it is a list of texts, each of a sane length.

    Raises:
        ValueError: naming what it is, or how long.
    """
    if not isinstance(prompts, list) or not all(isinstance(text, str) for text in prompts):
        raise ValueError(f"{name} must be a text or a list of texts, got {prompts!r}")
    longest = max((len(text) for text in prompts), default=0)
    if longest > MAX_PROMPT_CHARACTERS:
        raise ValueError(
            f"{name} must have at most {MAX_PROMPT_CHARACTERS} characters, got {longest}"
        )


def check_text(
    prompt: str | list[str] | None,
    negative_prompt: str | list[str] | None,
    text: tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None],
    max_sequence_length: int,
) -> None:
    """Check the prompts, or the embeddings in their place.

    Args:
        prompt: what to generate.
        negative_prompt: what guidance leads away from.
        text: embeddings and mask of the prompt, and of the negative one.
        max_sequence_length: tokens of a prompt.

    Raises:
        ValueError: if both or neither are given, one is empty, or shapes do not fit.
    """
    embeds, mask, negative_embeds, negative_mask = text
    if (prompt is None) == (embeds is None):
        raise ValueError("give either prompt or prompt_embeds")
    if negative_prompt is not None and negative_embeds is not None:
        raise ValueError("give at most one of negative_prompt and negative_prompt_embeds")
    if prompt is not None:
        prompts = [prompt] if isinstance(prompt, str) else prompt
        check_prompts("prompt", prompts)
        if not prompts or not all(text.strip() for text in prompts):
            raise ValueError("prompt must not be empty")
    if isinstance(negative_prompt, list) and len(negative_prompt) != batch_size(prompt, embeds):
        raise ValueError("negative_prompt must hold as many texts as prompt")
    if negative_prompt is not None:
        negatives = [negative_prompt] if isinstance(negative_prompt, str) else negative_prompt
        check_prompts("negative_prompt", negatives)
    length = max_sequence_length if embeds is None else embeds.shape[1]
    shape = (batch_size(prompt, embeds), length)
    _check_embeds("prompt", embeds, mask, shape)
    _check_embeds("negative_prompt", negative_embeds, negative_mask, shape)


def _check_embeds(
    name: str, embeds: Tensor | None, mask: Tensor | None, shape: tuple[int, int]
) -> None:
    """Embeddings and their mask come together, one row a prompt, all of one length."""
    if (embeds is None) != (mask is None):
        raise ValueError(f"{name}_embeds and {name}_attention_mask must be given together")
    if embeds is None or mask is None:
        return
    if tuple(embeds.shape[:2]) != shape or tuple(mask.shape) != shape:
        raise ValueError(
            f"expected {name}_embeds and its mask of shape {shape}, "
            f"got {tuple(embeds.shape[:2])} and {tuple(mask.shape)}"
        )
