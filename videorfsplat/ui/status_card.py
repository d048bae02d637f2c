"""The card that says what the page is doing, as HTML."""

import html

from videorfsplat.ui.sampling_updates import SamplingStep


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
