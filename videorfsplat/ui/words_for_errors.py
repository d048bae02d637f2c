"""Failures that a person can do something about, said in words on the page or to a client."""

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr


@contextmanager
def errors_in_words(title: str) -> Iterator[None]:
    """Turn bad input and missing files into a message; other failures stay what they are.

    Args:
        title: of the message.

    Raises:
        gr.Error: instead of a `ValueError` or an `OSError`.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        raise gr.Error(str(error), title=title, print_exception=False) from error
