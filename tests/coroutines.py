"""Coroutines from tests, also while another test's browser is open."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What the coroutine returns, run in a thread of its own.

    Playwright keeps a loop running in the main thread until the last browser of the session is
    closed, and a thread has one loop at most.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
