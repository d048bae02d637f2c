"""What a prompt states against what the probe sees, and shares of what is right."""

from collections.abc import Iterable
from typing import Any

from videorfsplat.data.worlds.captions import UNMENTIONED

# The motion is judged from cameras (`camera_motion`), not from pixels.
_NOT_IN_PIXELS = ("motion",)

AttributeScore = dict[str, list[bool]]
"""One flag for each thing stated, by attribute; attributes that are not spoken of are absent."""


def score_attributes(mentions: dict[str, Any], seen: dict[str, Any]) -> AttributeScore:
    """Whether the probe sees what was said.

    Secondary objects count by kind, and right means the stated number of that kind. Of their
    colours each stated one must be there.

    Args:
        mentions: what a prompt states, as `captions.caption_mentions` gives it.
        seen: what the probe read.
    """
    score: AttributeScore = {}
    for name, stated in mentions.items():
        if name in _NOT_IN_PIXELS or not stated or stated == UNMENTIONED:
            continue
        if name == "secondary":
            score[name] = [stated.count(kind) == seen[name].count(kind) for kind in _once(stated)]
        elif name == "secondary_color":
            score[name] = [color in seen[name] for color in _once(stated)]
        else:
            score[name] = [stated == seen[name]]
    return score


def count_right(score: AttributeScore) -> int:
    """Things stated that were seen."""
    return sum(sum(flags) for flags in score.values())


def count_stated(score: AttributeScore) -> int:
    """Things stated."""
    return sum(len(flags) for flags in score.values())


def shares_by_attribute(scores: Iterable[AttributeScore]) -> dict[str, float]:
    """Share of what was stated of each attribute that was seen, over all scores."""
    flags: AttributeScore = {}
    for score in scores:
        for name, values in score.items():
            flags.setdefault(name, []).extend(values)
    return {name: sum(values) / len(values) for name, values in sorted(flags.items())}


def _once(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))
