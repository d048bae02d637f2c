"""What strangers read of a failure: words, without markup and folders."""

import errno

import gradio as gr
import pytest

from videorfsplat.ui.words_for_errors import errors_in_words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("too many steps: 1/2"), "too many steps: 1/2"),
        (ValueError('model <img src="x"><b>'), 'model &lt;img src="x"&gt;&lt;b&gt;'),
        (ValueError("/home/me/a/cameras.json: frame 3"), "cameras.json: frame 3"),
        (ValueError("no '/srv/x/y.json', nor b"), "no 'y.json', nor b"),
        (OSError(errno.ENOSPC, "No space left", "/srv/x/scene.ply"), "scene.ply: No space left"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "The page: No such file"),
        (OSError("The disk is full."), "The disk is full."),
    ],
)
def test_strangers_read_words_without_markup_and_folders(error, words):
    with pytest.raises(gr.Error) as said, errors_in_words("Not made"):
        raise error
    assert (said.value.message, said.value.title) == (words, "Not made")


def test_words_are_not_put_into_words_again():
    with pytest.raises(gr.Error) as said, errors_in_words("Outer"), errors_in_words("Inner"):
        raise ValueError("a < b")
    assert (said.value.message, said.value.title) == ("a &lt; b", "Inner")


def test_other_failures_stay_what_they_are():
    with pytest.raises(TypeError), errors_in_words("Not made"):
        raise TypeError("a bug")
