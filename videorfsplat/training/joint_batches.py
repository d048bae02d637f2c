"""What a step of the joint model is trained on: views of scenes and their captions."""

from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase, T5EncoderModel

from videorfsplat.training.bad_samples import read_this_or_next
from videorfsplat.training.latent_cache import LatentCache
from videorfsplat.training.precision import low_precision
from videorfsplat.training.scene_cache import CachedSample, SceneCache
from videorfsplat.training.step_data import StepRandomness

# Enough scenes for the statistics of raymaps.
_STATISTICS_SCENES = 2000


class JointBatch(NamedTuple):
    """This process's share of the scenes of one step."""

    latents: Float[Tensor, "b c v h w"]
    raymaps: Float[Tensor, "b 6 v h w"]
    """Not normalised."""
    texts: Tensor
    """What `JointScenes.embed` takes."""
    text_mask: Tensor
    is_told: Tensor
    """[b, 1]; 0 where the text is dropped."""


@runtime_checkable
class JointScenes(Protocol):
    """Where batches come from."""

    @property
    def num_views(self) -> int:
        """V, views a scene."""
        ...

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the latents."""
        ...

    @property
    def text_width(self) -> int:
        """Length of a token's state."""
        ...

    def raymap_statistics(self) -> tuple[list[float], list[float]]:
        """Mean and deviation of each channel of the raymaps."""
        ...

    def draw(
        self, randomness: StepRandomness, batch_size: int, num_views: int, text_dropout: float
    ) -> JointBatch:
        """The scenes of one step; one view is drawn from all, several are the first ones."""
        ...

    def embed(self, batch: JointBatch) -> Float[Tensor, "b l e"]:
        """Token states of a batch's captions; on the device of the run, where they are computed."""
        ...


class WorldScenes:
    """Procedural worlds: latents in memory, captions drawn as tokens and embedded in the step.

    Args:
        cache: of the latents.
        tokenizer: of the text encoder.
        text_encoder: on the device of the run.
        caption_tokens: captions are padded or cut to this many; `None` pads to the longest.
    """

    def __init__(
        self,
        cache: LatentCache,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder: T5EncoderModel,
        caption_tokens: int | None = None,
    ) -> None:
        self.cache, self.tokenizer, self.text_encoder = cache, tokenizer, text_encoder
        self.caption_tokens = caption_tokens

    @property
    def num_views(self) -> int:
        """V, views a scene."""
        return self.cache.latents.shape[1]

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the latents."""
        height, width = self.cache.latents.shape[-2:]
        return height, width

    @property
    def text_width(self) -> int:
        """Length of a token's state."""
        return self.text_encoder.config.hidden_size

    def raymap_statistics(self) -> tuple[list[float], list[float]]:
        """Mean and deviation of each channel of the raymaps."""
        return _statistics(self.cache.raymaps[:_STATISTICS_SCENES].float())

    def draw(
        self, randomness: StepRandomness, batch_size: int, num_views: int, text_dropout: float
    ) -> JointBatch:
        """The scenes of one step."""
        rows = torch.tensor(randomness.indices(len(self.cache), batch_size))
        choices = randomness.rand(batch_size, 3)
        latents, raymaps = self._views(rows, choices[:, 0], num_views)
        captions = []
        for row, choice in zip(rows.tolist(), choices[:, 1].tolist(), strict=True):
            said = self.cache.dataset.captions(row)
            captions.append(said[int(choice * len(said))])
        length = self.caption_tokens
        tokens = self.tokenizer(
            captions,
            padding="max_length" if length else True,
            max_length=length,
            truncation=True,
            return_tensors="pt",
        )
        return JointBatch(
            latents.float(),
            raymaps.float(),
            tokens["input_ids"],
            tokens["attention_mask"],
            (choices[:, 2:] >= text_dropout).long(),
        )

    @torch.no_grad()
    def embed(self, batch: JointBatch) -> Float[Tensor, "b l e"]:
        """Token states of a batch's captions."""
        device = self.text_encoder.device
        ids, mask = batch.texts.to(device), batch.text_mask.to(device)
        with low_precision(device):
            states = self.text_encoder(ids, attention_mask=mask).last_hidden_state
        return states.float()

    def _views(self, rows: Tensor, choice: Tensor, num_views: int) -> tuple[Tensor, Tensor]:
        """Latents [b,12,v,h,w] and raymaps [b,6,v,h,w]; a single view is seen from itself."""
        latents, raymaps = self.cache.latents, self.cache.raymaps
        if num_views == 1:
            views = (choice * latents.shape[1]).long()
            return latents[rows, views, :, None], raymaps[rows, :1].transpose(1, 2)
        views = slice(num_views)
        return latents[rows, views].transpose(1, 2), raymaps[rows, views].transpose(1, 2)


class CachedScenes:
    """Recorded scenes: latents and text embeddings from a cache on disk.

    A sample that cannot be read is replaced by the next one and written down.

    Args:
        cache: of the latents and embeddings.
        log: folder for the list of bad samples.
        caption_tokens: captions are padded or cut to this many; `None` pads to the longest.
    """

    def __init__(
        self, cache: SceneCache, log: str | Path, caption_tokens: int | None = None
    ) -> None:
        self.cache, self.log, self.caption_tokens = cache, Path(log), caption_tokens

    @property
    def num_views(self) -> int:
        """V, views a scene."""
        return self.cache.num_views

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the latents."""
        return self.cache.latent_size

    @property
    def text_width(self) -> int:
        """Length of a token's state."""
        return self.cache.text_width

    def raymap_statistics(self) -> tuple[list[float], list[float]]:
        """Mean and deviation of each channel of the raymaps."""
        count = min(len(self.cache), _STATISTICS_SCENES)
        rows = torch.linspace(0, len(self.cache) - 1, count).long().tolist()
        return _statistics(torch.stack([self._read(row).raymaps for row in rows]))

    def draw(
        self, randomness: StepRandomness, batch_size: int, num_views: int, text_dropout: float
    ) -> JointBatch:
        """The scenes of one step."""
        samples = [self._read(i) for i in randomness.indices(len(self.cache), batch_size)]
        choices = randomness.rand(batch_size, 3)
        latents, raymaps, texts = [], [], []
        for sample, (view, caption, _) in zip(samples, choices.tolist(), strict=True):
            first = int(view * len(sample.latents)) if num_views == 1 else 0
            latents.append(sample.latents[first : first + num_views])
            raymaps.append(sample.raymaps[:num_views])
            texts.append(sample.texts[int(caption * len(sample.texts))])
        embeds, mask = pad_texts(texts, self.caption_tokens)
        return JointBatch(
            torch.stack(latents).transpose(1, 2).float(),
            torch.stack(raymaps).transpose(1, 2).float(),
            embeds,
            mask,
            (choices[:, 2:] >= text_dropout).long(),
        )

    def embed(self, batch: JointBatch) -> Float[Tensor, "b l e"]:
        """Token states of a batch's captions, which the cache has."""
        return batch.texts

    def _read(self, index: int) -> CachedSample:
        return read_this_or_next(self.cache.sample, index, len(self.cache), self.log)


def pad_texts(
    texts: list[Float[Tensor, "_ e"]], length: int | None = None
) -> tuple[Float[Tensor, "b l e"], Tensor]:
    """Embeddings [b,l,e] with their mask [b,l]."""
    longest = length or max(len(text) for text in texts)
    embeds = [F.pad(t[:longest].float(), (0, 0, 0, longest - len(t[:longest]))) for t in texts]
    counts = torch.tensor([min(len(text), longest) for text in texts])
    return torch.stack(embeds), (torch.arange(longest) < counts[:, None]).long()


def _statistics(raymaps: Float[Tensor, "n v 6 h w"]) -> tuple[list[float], list[float]]:
    return raymaps.mean((0, 1, 3, 4)).tolist(), raymaps.std((0, 1, 3, 4)).tolist()
