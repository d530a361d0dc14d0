"""What is typed, key by key: the terminal is told to give each at once, and is put right afterwards."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from appliance.ops.top.state import Sort
from appliance.ops.top.view import Asked

ENTER, ESCAPE, BACKSPACE = ("\r", "\n"), "\x1b", ("\x7f", "\b")
LONGEST_FILTER = 32


def pressed(key: str, asked: Asked) -> Asked | None:
    """What a key makes of what was typed before; None: leave."""
    if asked.typing:
        return _typed(key, asked)
    match key:
        case "q" | "Q" | "\x03":
            return None
        case "s" | "S":
            order = list(Sort)
            return replace(asked, sort=order[(order.index(asked.sort) + 1) % len(order)])
        case "f" | "F" | "/":
            return replace(asked, typing=True, wanted="")
        case "\x1b":
            return replace(asked, wanted="")
        case _:
            return asked


def _typed(key: str, asked: Asked) -> Asked | None:
    if key == "\x03":
        return None
    if key in ENTER:
        return replace(asked, typing=False)
    if key == ESCAPE:
        return replace(asked, typing=False, wanted="")
    if key in BACKSPACE:
        return replace(asked, wanted=asked.wanted[:-1])
    if key.isprintable() and len(asked.wanted) < LONGEST_FILTER:
        return replace(asked, wanted=asked.wanted + key)
    return asked


@contextmanager
def typing(hear: Callable[[str], None]) -> Iterator[None]:
    """Tell ``hear`` each key, on the event loop, for the length of the block. Nothing is told where
    stdin is no terminal."""
    if not sys.stdin.isatty():
        yield
        return
    loop, descriptor = asyncio.get_running_loop(), sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def read() -> None:
        for key in os.read(descriptor, 64).decode(errors="ignore"):
            hear(key)

    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, read)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
