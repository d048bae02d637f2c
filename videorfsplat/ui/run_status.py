"""What a run tells the page, plain data that can cross to another process, and the card that says
it."""

import html
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preview:
    """What both streams predict the result to be."""

    frames: tuple[str, ...]
    """One picture a view, as `data:` addresses."""
    cameras: dict[str, Any]
    """Contents of a `transforms.json`."""


@dataclass(frozen=True)
class SamplingStep:
    """The state after a step."""

    index: int
    """From 0."""
    num_inference_steps: int
    t_image: float
    """Noise level that the images have reached: 1 noise, 0 data."""
    t_pose: float
    """The same of the cameras."""
    seconds_left: float
    """Until the last step, at the pace so far."""
    preview: Preview | None = None
    """In some steps only: previews take time as well."""

    @property
    def is_last(self) -> bool:
        """Whether no step follows."""
        return self.index + 1 == self.num_inference_steps


def message_card(text: str, detail: str = "", *, state: str = "idle") -> str:
    """A line of words and a smaller one.

    Args:
        text: what is the case.
        detail: more about it, or what to do.
        state: `idle`, `busy`, `done`, `stopped` or `error`.
    """
    second = f'<span class="detail">{html.escape(detail)}</span>' if detail else ""
    return (
        f'<div class="status-card" data-state="{state}" role="status">'
        f"<strong>{html.escape(text)}</strong>{second}</div>"
    )


def progress_card(step: SamplingStep, title: str = "") -> str:
    """Step i of N, the clock of each stream, and the time left.

    Args:
        step: the step just taken.
        title: which of several runs this is.
    """
    heading = f"{html.escape(title)}: step" if title else "Step"
    done, total = step.index + 1, step.num_inference_steps
    return (
        '<div class="status-card" data-state="busy">'
        f"<strong>{heading} {done} of {total}</strong>"
        f'<span class="detail">{_time_left(step)}</span>'
        f'<div class="clocks" role="progressbar" aria-label="Denoising" aria-valuemin="0" '
        f'aria-valuemax="{total}" aria-valuenow="{done}">'
        f"{_clock('images', 'image', step.t_image)}{_clock('cameras', 'pose', step.t_pose)}"
        "</div></div>"
    )


def format_seconds(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 1:
        return "less than a second"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"


def _time_left(step: SamplingStep) -> str:
    if step.is_last:
        return "making the scene…"
    return f"about {format_seconds(step.seconds_left)} left"


def _clock(name: str, stream: str, t: float) -> str:
    return (
        f'<span class="clock-name">{name}</span>'
        f'<span class="clock {stream}"><i style="width: {100 * (1 - t):.1f}%"></i></span>'
        f'<span class="clock-time">t = {t:.2f}</span>'
    )
