"""The model in the background."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videorfsplat.ui.model_host import ModelHost


@given(steps=st.integers(1, 60), pose_offset=st.floats(-0.5, 0.5), given_cameras=st.booleans())
def test_timetables_are_the_model_s_own(model_folder, pipeline, steps, pose_offset, given_cameras):
    host = ModelHost(str(model_folder))
    drawn = host.timetable(steps, pose_offset, given_cameras=given_cameras)
    assert drawn == pipeline.make_timetable(steps, pose_offset, given_cameras=given_cameras)
    assert not host.is_ready


def test_loads_once_and_tells_the_facts(model_folder, pipeline):
    host = ModelHost(str(model_folder), "cpu")
    assert host.start() is host.start()
    assert host.pipeline() is host.pipeline()
    assert host.is_ready
    facts = host.facts()
    assert (facts.name, facts.device, facts.num_views) == ("tiny", "cpu", 3)
    assert (facts.width, facts.height) == (48, 32)
    parts = (p for p in pipeline.components.values() if hasattr(p, "parameters"))
    assert facts.parameters == sum(p.numel() for part in parts for p in part.parameters())


def test_a_missing_model_is_refused_before_the_page_opens(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model"):
        ModelHost(str(tmp_path / "none"))
    with pytest.raises(ValueError, match="holds no saved pipeline"):
        ModelHost(str(tmp_path))


def test_a_damaged_model_fails_when_it_is_asked_for(model_folder, tmp_path):
    (tmp_path / "model_index.json").write_text("{}")
    host = ModelHost(str(tmp_path), "cpu")
    with pytest.raises(ValueError, match="is damaged"):
        host.pipeline()
    assert not host.is_ready


def test_a_model_that_could_not_be_loaded_is_tried_again(model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "model")
    config = tmp_path / "model" / "transformer" / "config.json"
    content = config.read_bytes()
    config.unlink()
    host = ModelHost(str(tmp_path / "model"), "cpu")
    with pytest.raises(ValueError, match="cannot load the model"):
        host.pipeline()
    config.write_bytes(content)
    assert host.pipeline().num_views > 0


def test_computes_in_one_thread_whoever_asks(model_folder):
    host = ModelHost(str(model_folder), "cpu")

    def threads():
        for _ in range(3):
            yield threading.get_ident()

    asked = {*host.stream(threads()), host.run(threading.get_ident)}
    with ThreadPoolExecutor(1) as other:
        asked |= other.submit(lambda: set(host.stream(threads()))).result()
    assert len(asked) == 1
    assert threading.get_ident() not in asked


def test_a_stream_waits_for_nobody_and_ends_with_the_item_in_which_it_is_stopped(model_folder):
    stopped, reached, go_on, closed = (threading.Event() for _ in range(4))

    def numbers():
        try:
            yield from range(3)
            reached.set()
            go_on.wait(timeout=60)
            yield 3
            yield 4
        finally:
            closed.set()

    host = ModelHost(str(model_folder), "cpu")
    items = host.stream(numbers(), stopped)
    assert next(items) == 0
    # Nobody has taken those between.
    assert reached.wait(timeout=60)
    stopped.set()
    go_on.set()
    assert list(items) == [1, 2, 3]
    host.run(lambda: None)
    assert closed.is_set()


def test_a_stream_that_is_closed_closes_what_it_came_from(model_folder):
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    items = ModelHost(str(model_folder), "cpu").stream(endless())
    assert next(items) == 1
    items.close()
    assert closed.wait(timeout=60)


def test_failures_in_the_thread_reach_whoever_asked(model_folder):
    host = ModelHost(str(model_folder), "cpu")

    def failing():
        yield 1
        raise ValueError("no more")

    items = host.stream(failing())
    assert next(items) == 1
    with pytest.raises(ValueError, match="no more"):
        next(items)
    with pytest.raises(ZeroDivisionError):
        host.run(lambda: 1 / 0)
