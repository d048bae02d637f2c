"""Train the text encoder of the small model, and the reader of its token states.

The full-size model uses T5-XXL as it is. The small one starts from a pretrained sentence encoder,
which knows English, and learns to say what a sentence states of a scene: learned queries attend
over its outputs, as the transformer will, and tell every attribute. Word embeddings stay as they
were, so that words that no sentence of the training has keep their place beside those that it has.

A transformer that was trained on another encoder goes on with the new one: token states of captions
are taught to give that encoder's by one linear map, which `models.text_projection` then folds into
the transformer.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoTokenizer,
    DistilBertModel,
    PreTrainedTokenizerFast,
    T5EncoderModel,
)

from videorfsplat.data.worlds.caption_words import (
    ATTRIBUTE_VALUES,
    UNMENTIONED,
)
from videorfsplat.data.worlds.captions import (
    VOCABULARY,
    Mentions,
    caption_mentions,
    full_caption,
)
from videorfsplat.data.worlds.grammar import sample_world
from videorfsplat.formats.files import exporting, write_file
from videorfsplat.language.choices import LISTS, MOST_SECONDARY
from videorfsplat.language.sentences import Sentence, SentenceWriter
from videorfsplat.models.prompt_reader import RELATIONS, PromptReader, PromptReaderOutput
from videorfsplat.models.published import text_folder
from videorfsplat.models.sentence_encoder import trim_sentence_encoder
from videorfsplat.training.attention import training_attention
from videorfsplat.training.run import (
    RunConfig,
    TrainingRun,
    averaged_weights,
    check_run,
    field_values,
)
from videorfsplat.training.step_data import StepRandomness

SINGLE = tuple(sorted(ATTRIBUTE_VALUES.keys() - {*LISTS}))
"""Attributes with one value, in the order of the reader's heads."""

# The copy of the teacher's states counts as much as reading the main object does at the start; it
# is asked of captions only, which are a third of a batch.
_TEACHER_WEIGHT = 10.0

_FULL_CAPTIONS = 0.7
"""Share of captions that say everything; half of them in the first wording of each list, as a
completed prompt does."""


@dataclass(frozen=True)
class TextEncoderTraining:
    """Settings of `train text-encoder`."""

    run: RunConfig
    pretrained: str
    """Folder of a sentence encoder of BERT's kind, such as all-MiniLM-L6-v2, with its tokenizer."""
    teacher: str | None = None
    """Folder with the `tokenizer` and `text_encoder` that a transformer was trained on."""
    wordnet: str | None = None
    """Folder of a WordNet database (`data.noun`, `index.noun`), for more words."""
    held_out: str | None = None
    """JSON lines with a `prompt` each, whose words are never learned; several by a comma."""
    captions: int = 8
    """Captions of worlds in each batch; the rest are sentences as people write them."""
    vocabulary_size: int = 11_600
    max_length: int = 96
    frozen_layers: int = 2
    """First layers that stay as they are, as word embeddings do: what words mean is known there."""
    encoder_rate: float = 0.1
    """Learning rate of the encoder over that of everything new."""

    def __post_init__(self) -> None:
        if not 0 <= self.captions <= self.run.batch_size:
            raise ValueError(
                f"captions must be from 0 to the batch size, {self.run.batch_size}, "
                f"got {self.captions}"
            )


def new_reader(width: int) -> PromptReader:
    """A reader of everything that worlds have, for token states of `width` numbers."""
    single = {name: list(ATTRIBUTE_VALUES[name]) for name in SINGLE}
    lists = (list(ATTRIBUTE_VALUES[name]) for name in LISTS)
    return PromptReader(single, *lists, text_embed_dim=width, max_count=MOST_SECONDARY)


class _Learner(nn.Module):
    """Encoder, reader, and the map to the teacher's states."""

    def __init__(self, text_encoder: DistilBertModel, teacher_width: int) -> None:
        super().__init__()
        width = text_encoder.config.dim
        self.text_encoder, self.prompt_reader = text_encoder, new_reader(width)
        # No bias: the map is folded into layers that LoRAs add to, and those have none.
        self.projection = nn.Linear(width, teacher_width, bias=False) if teacher_width else None

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[PromptReaderOutput, Tensor | None]:
        states = self.text_encoder(ids, attention_mask=mask).last_hidden_state
        taught = self.projection(states) if self.projection is not None else None
        return self.prompt_reader(states, mask), taught


class Labels(NamedTuple):
    """What each sentence of a batch states, as classes of the reader's heads."""

    choices: Int[Tensor, "b a"]
    counts: Int[Tensor, "b k"]
    colors: Float[Tensor, "b c"]
    relation: Int[Tensor, " b"]


class _Taught(NamedTuple):
    """The teacher's tokens, and which of them each of the learner's is to copy; -1 for none."""

    ids: Int[Tensor, "b m"]
    mask: Int[Tensor, "b m"]
    places: Int[Tensor, "b l"]


class _Batch(NamedTuple):
    """Sentences of one length."""

    ids: Int[Tensor, "b l"]
    mask: Int[Tensor, "b l"]
    labels: Labels
    names: Float[Tensor, "b l"]
    taught: _Taught | None


def train_text_encoder(settings: TextEncoderTraining) -> Path:
    """Train and export tokenizer, text encoder and reader.

    Returns:
        `<output>/model`, with `tokenizer`, `text_encoder` and `prompt_reader`, and with a teacher
        also `text_projection.safetensors`.

    Raises:
        ValueError: as `TrainingRun`, before anything is read.
        OSError: if the pretrained encoder, a list of sentences or WordNet is not there.
    """
    details = field_values(settings)
    check_run(settings.run, details)
    writer = SentenceWriter(settings.wordnet, _held_out(settings.held_out))
    torch.manual_seed(settings.run.seed)
    tokenizer, encoder = _start(settings, writer)
    teacher = _Teacher(settings.teacher) if settings.teacher else None
    model = _Learner(encoder, teacher.width if teacher else 0)
    _freeze(encoder, settings.frozen_layers)
    run = TrainingRun(settings.run, model, [_optimizer(model, settings)], details)
    device = run.accelerator.device

    def draw(randomness: StepRandomness) -> list[_Batch]:
        seeds = randomness.indices(2**62, settings.run.batch_size)
        share = settings.captions / settings.run.batch_size
        count = round(share * len(seeds))
        rngs = [np.random.default_rng(seed) for seed in seeds]
        captions = [_caption(rng) for rng in rngs[:count]]
        written = sorted((writer.write(rng) for rng in rngs[count:]), key=lambda s: len(s.text))
        # Alike lengths side by side: padding would be half of the work.
        half = len(written) // 2
        groups = [(captions, teacher), (written[:half], None), (written[half:], None)]
        return [_batch(tokenizer, group, asked) for group, asked in groups if group]

    def loss(batches: list[_Batch]) -> dict[str, Tensor]:
        total = sum(len(batch.ids) for batch in batches)
        terms: dict[str, Tensor] = {}
        for batch in batches:
            for name, value in _read_batch(run.model, batch, teacher, device).items():
                terms[name] = terms.get(name, torch.zeros((), device=device))
                terms[name] = terms[name] + value * len(batch.ids) / total
        return terms

    with training_attention(device):
        run.train(draw, loss)
    return _export(run, tokenizer)


def _batch(
    tokenizer: PreTrainedTokenizerFast, sentences: list[Sentence], teacher: "_Teacher | None"
) -> _Batch:
    """Sentences padded to one length; with a teacher, they are captions."""
    texts = [sentence.text for sentence in sentences]
    tokens = tokenizer(
        texts, padding=True, truncation=True, return_tensors="pt", return_offsets_mapping=True
    )
    return _Batch(
        tokens["input_ids"],
        tokens["attention_mask"],
        labels_of(sentences),
        name_marks(sentences, tokens["offset_mapping"]),
        None if teacher is None else teacher.places(texts, tokens),
    )


def _read_batch(
    model: nn.Module, batch: _Batch, teacher: "_Teacher | None", device: torch.device
) -> dict[str, Tensor]:
    mask = batch.mask.to(device)
    read, taught = model(batch.ids.to(device), mask)
    labels = Labels(*(part.to(device) for part in batch.labels))
    terms = reading_loss(read, labels, batch.names.to(device), mask)
    if teacher is not None and batch.taught is not None and taught is not None:
        error = teacher.error(batch.taught, taught)
        terms |= {"loss": terms["loss"] + _TEACHER_WEIGHT * error, "teacher": error}
    return terms


def _freeze(encoder: DistilBertModel, layers: int) -> None:
    for part in (encoder.embeddings, *encoder.transformer.layer[:layers]):
        part.requires_grad_(False)


def _held_out(paths: str | None) -> list[str]:
    files = [Path(path) for path in paths.split(",")] if paths else []
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return [json.loads(line)["prompt"] for line in lines]


def _start(
    settings: TextEncoderTraining, writer: SentenceWriter
) -> tuple[PreTrainedTokenizerFast, DistilBertModel]:
    whole = [part for word in sorted(VOCABULARY) for part in word.split("-")]
    return trim_sentence_encoder(
        settings.pretrained, writer.texts(), whole, settings.vocabulary_size, settings.max_length
    )


def _optimizer(model: _Learner, settings: TextEncoderTraining) -> torch.optim.Optimizer:
    rate = settings.run.learning_rate
    new = [p for n, p in model.named_parameters() if not n.startswith("text_encoder.")]
    old = [p for p in model.text_encoder.parameters() if p.requires_grad]
    groups = [
        {"params": old, "lr": rate * settings.encoder_rate},
        {"params": new, "lr": rate},
    ]
    return torch.optim.AdamW(groups, weight_decay=settings.run.weight_decay, fused=True)


def _caption(rng: np.random.Generator) -> Sentence:
    world = sample_world(int(rng.integers(2**31)))
    if rng.random() >= _FULL_CAPTIONS:
        text, mentions = caption_mentions(world, rng)
    else:
        text, mentions = full_caption(world, rng if rng.random() < 0.5 else None)
    return Sentence(text, mentions, "named")


def _export(run: TrainingRun, tokenizer: PreTrainedTokenizerFast) -> Path:
    folder = run.folder / "model"
    with averaged_weights(run):
        if run.accelerator.is_main_process:
            model = run.bare_model
            # The last call's lengths are no part of it.
            tokenizer.backend_tokenizer.no_truncation()
            tokenizer.backend_tokenizer.no_padding()
            with exporting(folder):
                model.text_encoder.save_pretrained(folder / "text_encoder")
                model.prompt_reader.save_pretrained(folder / "prompt_reader")
                tokenizer.save_pretrained(folder / "tokenizer")
            if model.projection is not None:
                weight = {"weight": model.projection.weight.detach().contiguous()}
                write_file(folder / "text_projection.safetensors", save(weight))
    return folder


# --- what sentences state -------------------------------------------------------------------------


def labels_of(sentences: list[Sentence]) -> Labels:
    """Classes of the reader's heads."""
    choices = [
        [(*ATTRIBUTE_VALUES[n], UNMENTIONED).index(_one(s.mentions, n)) for n in SINGLE]
        for s in sentences
    ]
    kinds, palette = (ATTRIBUTE_VALUES[name] for name in LISTS)
    counts = [
        [min(s.mentions["secondary"].count(kind), MOST_SECONDARY) for kind in kinds]
        for s in sentences
    ]
    colors = [
        [float(color in s.mentions["secondary_color"]) for color in palette] for s in sentences
    ]
    relation = [RELATIONS.index(s.relation) for s in sentences]
    return Labels(
        torch.tensor(choices), torch.tensor(counts), torch.tensor(colors), torch.tensor(relation)
    )


def _one(mentions: Mentions, name: str) -> str:
    value = mentions[name]
    assert isinstance(value, str)
    return value


def name_marks(sentences: list[Sentence], offsets: Int[Tensor, "b l 2"]) -> Float[Tensor, "b l"]:
    """1 for tokens of the name of the main object, 0 for others, -1 in rows where it is unknown."""
    marks = torch.zeros(offsets.shape[:2])
    for row, sentence in enumerate(sentences):
        if sentence.name is not None:
            start, end = sentence.name
            inside = (offsets[row, :, 0] < end) & (offsets[row, :, 1] > start)
            marks[row] = inside.float()
        elif sentence.relation == "named":
            # A caption, whose name is somewhere, or a description without one.
            marks[row] = -1.0
    return marks


def reading_loss(
    read: PromptReaderOutput, labels: Labels, names: Float[Tensor, "b l"], mask: Tensor
) -> dict[str, Tensor]:
    """Cross-entropies of all heads, and shares of what was read right."""
    losses = [F.cross_entropy(p.float(), labels.choices[:, i]) for i, p in enumerate(read.choices)]
    kind, color = losses[SINGLE.index("kind")], losses[SINGLE.index("main_color")]
    counts = F.cross_entropy(read.counts.float().flatten(0, 1), labels.counts.flatten())
    colors = F.binary_cross_entropy_with_logits(read.colors.float(), labels.colors)
    relation = F.cross_entropy(read.relation.float(), labels.relation)
    known = (names >= 0) & (mask > 0)
    marks = F.binary_cross_entropy_with_logits(
        read.names.float(), names.clamp(min=0), weight=known.float(), reduction="sum"
    ) / known.sum().clamp(min=1)
    # The main object and its colour matter most, and are the hardest to read.
    total = kind + color + torch.stack(losses).sum()
    total = total + 4 * counts + 2 * colors + relation + marks
    right = torch.stack(
        [part.argmax(1) == labels.choices[:, i] for i, part in enumerate(read.choices)]
    )
    return {
        "loss": total,
        "kind": kind,
        "kind_right": right[SINGLE.index("kind")].float().mean(),
        "accuracy": right.float().mean(),
        "all_right": right.all(0).float().mean(),
        "relation": relation,
        "names": marks,
    }


# --- the teacher ----------------------------------------------------------------------------------


class _Teacher:
    """Token states of the encoder that a transformer was trained on, word by word."""

    def __init__(self, source: str) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(text_folder(source, "tokenizer"))
        self.encoder: Any = T5EncoderModel.from_pretrained(
            text_folder(source, "text_encoder"), dtype=torch.float32
        )
        self.encoder.requires_grad_(False).eval()
        self.width: int = self.encoder.config.d_model

    def places(self, texts: list[str], tokens: Any) -> _Taught:
        """Which of the teacher's states each of the learner's tokens is to give.

        A word's pieces have the teacher's last piece of that word, and the end of the sentence has
        its end.

        Args:
            texts: captions.
            tokens: the learner's.
        """
        theirs = self.tokenizer(
            texts, padding=True, return_tensors="pt", return_offsets_mapping=True
        )
        places = torch.full(tokens["input_ids"].shape, -1)
        for row, text in enumerate(texts):
            ends = _piece_of_character(theirs["offset_mapping"][row].tolist(), len(text))
            last = int(theirs.attention_mask[row].sum()) - 1
            for place, word in enumerate(tokens.word_ids(row)):
                if word is not None:
                    end = tokens.word_to_chars(row, word).end
                    places[row, place] = ends[end - 1]
                elif tokens["attention_mask"][row, place]:
                    places[row, place] = last
        return _Taught(theirs.input_ids, theirs.attention_mask, places)

    @torch.no_grad()
    def states(self, taught: _Taught) -> Float[Tensor, "n d"]:
        """The state for each of the learner's tokens that has one, one row after the other."""
        states = self.encoder(taught.ids, attention_mask=taught.mask).last_hidden_state
        rows = torch.arange(len(states))[:, None]
        return states[rows, taught.places.clamp(min=0)][taught.places >= 0]

    def error(self, taught: _Taught, learned: Float[Tensor, "b l d"]) -> Tensor:
        """Mean square of what is missed over the states' variance: 0 for a perfect copy, 1 for
        their mean."""
        wanted = self.states(taught).to(learned.device)
        missed = (learned.float()[(taught.places >= 0).to(learned.device)] - wanted).square().mean()
        return missed / wanted.var(dim=0).mean()


def _piece_of_character(offsets: list[list[int]], length: int) -> list[int]:
    """Number of the piece that each character belongs to, -1 for none."""
    pieces = [-1] * length
    for piece, (start, end) in enumerate(offsets):
        for place in range(start, min(end, length)):
            pieces[place] = piece
    return pieces
