"""Sheets of samples: rows of small pictures in one file, to be looked at while a run goes on."""

from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor


def save_sheet(rows: list[Float[Tensor, "n 3 H W"]], path: Path, zoom: int = 2) -> None:
    """Write rows of frames in [-1, 1] as one picture, enlarged by whole pixels."""
    pictures = torch.cat([torch.cat(list(row.float().cpu()), dim=-1) for row in rows], dim=-2)
    values = ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    image = Image.fromarray(values)
    image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST).save(path)
