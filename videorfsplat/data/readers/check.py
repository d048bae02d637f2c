"""What is wrong with a folder of recorded scenes, in words."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from videorfsplat.data.readers.folders import SceneSource, find_scenes
from videorfsplat.data.readers.sequence import PosedSequence
from videorfsplat.data.readers.view_sampling import ViewSampling
from videorfsplat.data.readers.views import choose_views, draw_sample


@dataclass(frozen=True)
class SceneCheck:
    """What was found of one scene."""

    name: str
    format: str
    num_frames: int
    problem: str | None
    """Why it cannot be trained on."""
    remark: str | None
    """What is wrong with it although it can be trained on."""


def check_scenes(
    folder: str,
    sampling: ViewSampling,
    captions: dict[str, list[str]] | None = None,
    *,
    decode: bool = False,
    strict: bool = False,
) -> Iterator[SceneCheck]:
    """Check every scene of a folder: metadata, presence of frames, sampling of views, captions.

    Args:
        folder: of the data set.
        sampling: rules for views.
        captions: by scene, if scenes are to have captions.
        decode: also read every frame, which takes as long as reading the data set.
        strict: a frame that is missing or cannot be used makes its scene unusable.

    Raises:
        ValueError: if the folder holds no scene.
    """
    for source in find_scenes(folder):
        yield _check(source, sampling, captions, decode, strict)


def _unreadable(sequence: PosedSequence) -> Iterator[str]:
    for index in range(len(sequence)):
        try:
            sequence.frames.read(index)
        except ValueError as error:
            yield str(error)


def _check(
    source: SceneSource,
    sampling: ViewSampling,
    captions: dict[str, list[str]] | None,
    decode: bool,
    strict: bool,
) -> SceneCheck:
    num_frames, remark = 0, None
    try:
        sequence = source.read()
        num_frames = len(sequence)
        if sequence.missing:
            total = num_frames + len(sequence.missing)
            remark = f"{len(sequence.missing)} of {total} frames are missing: {sequence.missing[0]}"
            remark += " and others" if len(sequence.missing) > 1 else ""
        unusable = [*sequence.left_out, *(_unreadable(sequence) if decode else ())]
        if unusable:
            said = f"{len(unusable)} frames cannot be used: {unusable[0]}"
            remark = said if remark is None else f"{remark}; {said}"
        rng = np.random.default_rng(0)
        if decode:
            draw_sample(sequence, sampling, rng)
        else:
            choose_views(sequence, sampling, rng)
        if captions is not None and source.name not in captions:
            raise ValueError(f"{source.name}: no captions")
        if strict and remark is not None:
            raise ValueError(remark)
    except ValueError as error:
        return SceneCheck(source.name, source.format, num_frames, str(error), remark)
    return SceneCheck(source.name, source.format, num_frames, None, remark)
