"""Failures that a person can do something about, said in words on the page or to a client."""

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr

# An absolute path of two or more parts; what follows the last slash is its name.
_ABSOLUTE_PATH = re.compile(r"(?<![\w./@])/(?:[^\s/:'\"<>]+/)+([^\s/:'\"<>]*)")


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
    except gr.Error:
        # One of these already, which is a ValueError too.
        raise
    except (ValueError, OSError) as error:
        raise gr.Error(words_for(error), title=title, print_exception=False) from error


def words_for(error: Exception) -> str:
    """What went wrong, for strangers: no markup, as a message is shown as HTML, and of files
    their names alone."""
    if isinstance(error, OSError) and error.strerror:
        name = Path(str(error.filename)).name if error.filename else "The page"
        text = f"{name}: {error.strerror}"
    else:
        text = str(error)
    return html.escape(_ABSOLUTE_PATH.sub(r"\1", text), quote=False)
