"""Train the small text encoder: a T5 encoder from whose tokens a caption's meaning can be read.

The full-size model uses T5-XXL as it is. A few million parameters cannot be pretrained on the
world's text here, so the encoder learns what the sentences of the data mean: learned queries attend
over its outputs, as the transformer will, and tell every attribute that the sentence states.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from videorfsplat.data.worlds.captions import ATTRIBUTE_VALUES, UNMENTIONED, caption_mentions
from videorfsplat.data.worlds.grammar import sample_world
from videorfsplat.formats.files import share
from videorfsplat.training.attention import training_attention
from videorfsplat.training.model_arguments import check_model_arguments
from videorfsplat.training.optimizers import make_optimizers
from videorfsplat.training.run import (
    RunConfig,
    TrainingRun,
    averaged_weights,
    check_run,
    field_values,
)
from videorfsplat.training.step_data import StepRandomness

MINI_TEXT_ENCODER: dict[str, Any] = {
    "d_model": 256,
    "d_kv": 32,
    "num_heads": 8,
    "d_ff": 512,
    "num_layers": 4,
    "feed_forward_proj": "gated-gelu",
    "dropout_rate": 0.05,
}
"""Constructor arguments of the bundled model's `T5Config`."""

_LISTS = ("secondary", "secondary_color")
_SINGLE = tuple(name for name in ATTRIBUTE_VALUES if name not in _LISTS)
_MAX_COUNT = 2


@dataclass(frozen=True)
class TextEncoderTraining:
    """Settings of `train text-encoder`."""

    run: RunConfig
    captions: str
    """JSON lines that `write_captions` wrote."""
    vocabulary_size: int = 2048
    max_length: int = 64
    word_dropout: float = 0.05
    model: dict[str, Any] = field(default_factory=lambda: dict(MINI_TEXT_ENCODER))

    def __post_init__(self) -> None:
        check_model_arguments(T5Config, self.model)


def write_captions(path: Path, first_seed: int, num_worlds: int, per_world: int) -> None:
    """Write captions with what they state, `per_world` for each seed, as JSON lines.

    A `.txt` file gets the captions alone, one a line, as `generate` and `train few-step` take them.
    """
    unfinished, is_text = path.with_suffix(".partial"), path.suffix == ".txt"
    with unfinished.open("w") as file:
        for seed in range(first_seed, first_seed + num_worlds):
            world = sample_world(seed)
            rng = np.random.default_rng((seed, 3))
            for _ in range(per_world):
                caption, mentions = caption_mentions(world, rng)
                file.write((caption if is_text else json.dumps([caption, mentions])) + "\n")
    unfinished.replace(path)


def train_tokenizer(
    captions: Iterable[str], vocabulary_size: int, max_length: int
) -> PreTrainedTokenizerFast:
    """A lower-casing byte-level BPE tokenizer: any text has tokens, the captions' words few."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        model_max_length=max_length,
    )


class AttributeReader(nn.Module):
    """Reads a caption's stated attributes from token embeddings through one cross-attention."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        sizes = [len(ATTRIBUTE_VALUES[name]) + 1 for name in _SINGLE]
        sizes += [_MAX_COUNT + 1] * len(ATTRIBUTE_VALUES["secondary"])
        sizes += [len(ATTRIBUTE_VALUES["secondary_color"])]
        self.queries = nn.Parameter(torch.randn(len(sizes), dim) * 0.5)
        self.attention = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.heads = nn.ModuleList(nn.Linear(dim, size) for size in sizes)

    def forward(
        self, embeddings: Float[Tensor, "b l d"], mask: Int[Tensor, "b l"]
    ) -> list[Float[Tensor, "b classes"]]:
        """Logits: one attribute after the other, counts of each secondary kind, then colours."""
        queries = self.queries.expand(len(embeddings), -1, -1)
        read, _ = self.attention(queries, embeddings, embeddings, key_padding_mask=mask == 0)
        return [head(read[:, index]) for index, head in enumerate(self.heads)]


class _ReadingEncoder(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.text_encoder = T5EncoderModel(config)
        self.reader = AttributeReader(config.d_model, config.num_heads)

    def forward(self, tokens: Tensor, mask: Tensor) -> list[Tensor]:
        embeddings = self.text_encoder(tokens, attention_mask=mask).last_hidden_state
        return self.reader(embeddings, mask)


def train_text_encoder(settings: TextEncoderTraining) -> Path:
    """Train and export tokenizer and encoder.

    Returns:
        The folder with `tokenizer` and `text_encoder`, `<output>/model`.

    Raises:
        ValueError: as `TrainingRun`, before captions are read.
    """
    details = field_values(settings)
    check_run(settings.run, details)
    lines = Path(settings.captions).read_text().splitlines()
    said = [tuple(json.loads(line)) for line in lines]
    labels = torch.tensor([_labels(mentions) for _, mentions in said])
    tokenizer = train_tokenizer(
        [text for text, _ in said], settings.vocabulary_size, settings.max_length
    )
    tokens = tokenizer(
        [text for text, _ in said], padding=True, truncation=True, return_tensors="pt"
    )
    torch.manual_seed(settings.run.seed)
    config = T5Config(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=1, **settings.model)
    model = _ReadingEncoder(config)
    optimizers = make_optimizers("adamw", model, settings.run)
    run = TrainingRun(settings.run, model, optimizers, details)
    ids, masks = tokens["input_ids"], tokens["attention_mask"]

    def draw(randomness: StepRandomness) -> tuple[Tensor, Tensor, Tensor]:
        rows = randomness.indices(len(said), settings.run.batch_size)
        mask = masks[rows]
        length = int(mask.sum(1).max())
        drop = randomness.rand(settings.run.batch_size, ids.shape[1])[:, :length]
        mask = mask[:, :length] * (drop >= settings.word_dropout)
        mask[:, 0] = 1
        return ids[rows][:, :length], mask, labels[rows]

    def loss(drawn: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
        device = run.accelerator.device
        tokens, mask, stated = (tensor.to(device, non_blocking=True) for tensor in drawn)
        return _loss_terms(run.model(tokens, mask), stated)

    with training_attention(run.accelerator.device):
        run.train(draw, loss)
    folder = run.folder / "model"
    with averaged_weights(run):
        if run.accelerator.is_main_process:
            run.bare_model.text_encoder.save_pretrained(folder / "text_encoder")
            tokenizer.save_pretrained(folder / "tokenizer")
            share(folder)
    return folder


def _labels(mentions: dict[str, Any]) -> list[int]:
    """Class of every head in order; the last ones are the 0/1 marks of the secondary colours."""
    labels = []
    for name in _SINGLE:
        values = (*ATTRIBUTE_VALUES[name], UNMENTIONED)
        labels.append(values.index(mentions[name]))
    for kind in ATTRIBUTE_VALUES["secondary"]:
        labels.append(min(mentions["secondary"].count(kind), _MAX_COUNT))
    for color in ATTRIBUTE_VALUES["secondary_color"]:
        labels.append(int(color in mentions["secondary_color"]))
    return labels


def _loss_terms(logits: list[Tensor], labels: Int[Tensor, "b n"]) -> dict[str, Tensor]:
    *choices, colors = [part.float() for part in logits]
    losses = [F.cross_entropy(part, labels[:, index]) for index, part in enumerate(choices)]
    marks = labels[:, len(choices) :].float()
    losses.append(F.binary_cross_entropy_with_logits(colors, marks))
    right = torch.stack([part.argmax(1) == labels[:, i] for i, part in enumerate(choices)])
    return {
        "loss": torch.stack(losses).mean(),
        "accuracy": right.float().mean(),
        "all_right": right.all(0).float().mean(),
    }
