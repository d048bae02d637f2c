"""Values of the page's components, grouped as its events set them."""

from typing import Any, NamedTuple

import gradio as gr

SKIP: Any = gr.skip()
"""Leaves a component as it is."""


class Activity(NamedTuple):
    """Values of the components that say whether the page is at work."""

    status: Any = SKIP
    generate: Any = SKIP
    compare: Any = SKIP
    stop: Any = SKIP


class Result(NamedTuple):
    """Values of the components that show a scene."""

    timetable: Any = SKIP
    viewer: Any = SKIP
    frames: Any = SKIP
    frustums: Any = SKIP
    record: Any = SKIP
    downloads: Any = SKIP
    scene: Any = SKIP
    """Name of the request's folder."""
    film: Any = SKIP
    link: Any = SKIP
    picks: Any = SKIP
    """Scenes of one sentence to choose from."""


def working(status: str) -> Activity:
    """A run waits or goes on."""
    return _activity(status, may_begin=False, may_stop=True)


def stopping(status: str) -> Activity:
    """A run is about to end."""
    return _activity(status, may_begin=False, may_stop=False)


def resting(status: str) -> Activity:
    """No run."""
    return _activity(status, may_begin=True, may_stop=False)


def _activity(status: str, *, may_begin: bool, may_stop: bool) -> Activity:
    begin, stop = gr.update(interactive=may_begin), gr.update(interactive=may_stop)
    return Activity(status, generate=begin, compare=begin, stop=stop)
