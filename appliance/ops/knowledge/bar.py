"""How far documents are, as rows on a terminal."""

from __future__ import annotations

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from appliance.ops.console import console_here


class Bar:
    """Rows of progress on a terminal; elsewhere, and with ``--json``, nothing."""

    def __init__(self, *, shown: bool) -> None:
        console = console_here()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            console=console,
            disable=not shown or not console.is_terminal,
        )
        self._shown = shown

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def add(self, words: str, total: int) -> TaskID:
        """A row; one without words is hidden until it has some."""
        return self._progress.add_task(words, total=total or None, visible=bool(words))

    def step(self, row: TaskID) -> None:
        """One more of it is done."""
        self._progress.advance(row)

    def at(self, row: TaskID, done: int, total: int, words: str = "") -> None:
        """So many of it are done."""
        if words:
            self._progress.update(row, description=words, visible=True)
        self._progress.update(row, completed=done, total=total or None)

    def say(self, sentence: str) -> None:
        """A line above the rows."""
        if self._shown:
            self._progress.console.print(sentence)
