"""What generating one scene costs: operations and memory, counted without making any weights.

Models and inputs are torch's fake tensors, which have shapes and no values: call everything here,
and build the models, within one `FakeTensorMode`.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKLMochi
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from videorfsplat.models.gaussian_decoder import GaussianDecoder
from videorfsplat.models.one_frame import decode_frames
from videorfsplat.models.transformer_videorfsplat import VideoRFSplatTransformer3DModel


@dataclass(frozen=True)
class StageCost:
    """One stage of a generation."""

    flops: int
    """Floating-point operations of matrix products, convolutions and attention; a product and a sum
    are two."""
    activation_bytes: int
    """Most memory that intermediate results take at once, beside the weights."""


class _LiveMemory(TorchDispatchMode):
    """Bytes of tensors that are made within this context, and the most there were at once."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known = {weight.untyped_storage()._cdata for weight in model.parameters()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        for output in outputs if isinstance(outputs, (tuple, list)) else (outputs,):
            if isinstance(output, Tensor):
                self._watch(output)
        return outputs

    def _watch(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


# The kernel of CPUs is the only one that torch's counter does not know.
_MORE_FORMULAS = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}


@torch.no_grad()
def measure(model: nn.Module, stage: Callable[[], Any]) -> StageCost:
    """Run a stage of a model on fake tensors, which costs next to nothing, and count."""
    counter = FlopCounterMode(display=False, custom_mapping=_MORE_FORMULAS)
    with counter, _LiveMemory(model) as memory:
        stage()
    return StageCost(counter.get_total_flops(), memory.peak)


def transformer_step(config: dict[str, Any], branches: int, text_tokens: int = 256) -> StageCost:
    """One denoising step of one scene, with that many guidance branches in the batch.

    All groups of a pose block and its image blocks are alike, so that the cost is linear in their
    number: it is measured with two and three of them.

    Args:
        config: constructor arguments of the transformer, all of them.
        branches: copies of the scene in the batch.
        text_tokens: of the prompt.
    """
    groups = config["pose_num_layers"]
    blocks_a_group = config["num_layers"] // groups
    two, three = (
        _step(
            VideoRFSplatTransformer3DModel(
                **config | {"pose_num_layers": n, "num_layers": n * blocks_a_group}
            ),
            text_tokens,
        )
        for n in (2, 3)
    )
    flops = two.flops + (groups - 2) * (three.flops - two.flops)
    # Nothing is kept from group to group without gradients.
    return StageCost(branches * flops, branches * three.activation_bytes)


def _step(model: VideoRFSplatTransformer3DModel, text_tokens: int) -> StageCost:
    config, dtype = model.config, model.dtype
    size = config["sample_size"]
    height, width = (size, size) if isinstance(size, int) else size
    views = config["num_views"]
    inputs = (
        torch.empty(1, config["in_channels"], views, height, width, dtype=dtype),
        torch.empty(1, config["pose_in_channels"], views, height, width, dtype=dtype),
        torch.empty(1, text_tokens, config["text_embed_dim"], dtype=dtype),
        torch.empty(1),
        torch.empty(1),
        torch.empty(1, text_tokens, dtype=torch.bool),
    )
    return measure(model, lambda: model(*inputs))


def frame_decoding(vae: AutoencoderKLMochi, views: int, height: int, width: int) -> StageCost:
    """Frames of one scene from latents of `height` × `width`, one after another."""
    channels = vae.config["latent_channels"]
    latents = torch.empty(1, channels, height, width, dtype=vae.dtype)
    one = measure(vae, lambda: decode_frames(vae, latents))
    return StageCost(views * one.flops, one.activation_bytes)


def gaussian_decoding(decoder: GaussianDecoder, views: int, height: int, width: int) -> StageCost:
    """Gaussians of one scene from latents of `height` × `width`."""
    channels = decoder.config["latent_channels"]
    latents = torch.empty(1, channels, views, height, width, dtype=decoder.dtype)
    viewmats, Ks = torch.eye(4).repeat(1, views, 1, 1), torch.eye(3).repeat(1, views, 1, 1)
    arguments = (latents, viewmats, Ks, 8 * width, 8 * height)
    return measure(decoder, lambda: decoder.raw_gaussians(*arguments))


def text_encoding(encoder: nn.Module, tokens: int = 256, texts: int = 2) -> StageCost:
    """Prompt and negative prompt, by rule: two operations a weight and token, embeddings apart."""
    weights = sum(weight.numel() for weight in encoder.parameters())
    tables = [m.weight.numel() for m in encoder.modules() if isinstance(m, nn.Embedding)]
    # What 256 tokens need is nothing beside the weights.
    return StageCost(2 * (weights - max(tables)) * tokens * texts, 0)
