"""Where the news of a run goes: to whoever watches, to `log.jsonl`, to a tracker; of several processes, once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from inkseek.errors import InkseekError
from inkseek.training.log import Log
from inkseek.training.plan import Plan
from inkseek.training.processes import Processes
from inkseek.training.tracking import Tracker


class Reporter(Protocol):
    """What a run tells whoever watches it."""

    def started(self, plan: Plan, step: int) -> None:
        """The run begins at `step`."""

    def stepped(self, step: int, figures: Mapping[str, float]) -> None:
        """A step is done; figures are empty but for logging steps."""

    def validated(self, step: int, metric: str, value: float, best: bool) -> None:
        """A checkpoint was measured."""

    def warned(self, step: int, advice: str) -> None:
        """Something goes wrong in a way that is known."""


class News:
    """Tells a reporter and writes the log; processes but the first tell of unreadable pictures alone.

    Args:
        run: the run's folder.
        plan: what is run.
        processes: this process among the run's.
        reporter: who watches.
        keep: what the log and a tracker hold of later steps is of a run that was cut off, and is written again.

    Raises:
        InkseekError: a tracker is asked for that cannot start.
    """

    def __init__(self, run: Path, plan: Plan, processes: Processes, reporter: Reporter, *, keep: int) -> None:
        self._reporter, self._first = reporter, processes.first
        self._log = Log(run / "log.jsonl", keep=keep) if processes.first else None
        settings = plan.recipe.model_dump(mode="json", by_alias=True)
        self._tracker = Tracker(run, plan.recipe.track if processes.first else None, keep=keep, settings=settings)
        self._step = keep
        self._named: set[str] = set()
        if processes.first:
            reporter.started(plan, keep)

    def stepped(self, step: int, row: Mapping[str, float]) -> None:
        """A step is done; its row is empty but for logging steps."""
        if not self._first:
            return
        if row:
            self._write(step, row)
        self._reporter.stepped(step, row)

    def validated(self, step: int, metric: str, value: float, best: bool) -> None:
        """A checkpoint was measured."""
        if self._first:
            self._write(step, {f"validation {metric}": value})
            self._reporter.validated(step, metric, value, best)

    def warned(self, step: int, advice: str) -> None:
        """Something goes wrong with the run as a whole."""
        if self._first:
            self._reporter.warned(step, advice)

    def unreadable(self, step: int, line: str) -> None:
        """A picture of this process's share was replaced; said once, whichever step meets it again."""
        if line not in self._named:
            self._named.add(line)
            self._reporter.warned(step, f"unreadable and replaced by another of its class: {line}")

    def close(self) -> None:
        """Have everything where it belongs."""
        with self._without_tracker():
            self._tracker.close()

    def _write(self, step: int, row: Mapping[str, float]) -> None:
        assert self._log is not None, "the first process has one"
        self._log.write(step, row)
        self._step = step
        with self._without_tracker():
            self._tracker.write(step, row)

    @contextmanager
    def _without_tracker(self) -> Iterator[None]:
        """Go on where the tracker fails: a service that is down must not cost a run whose log is on disk."""
        try:
            yield
        except InkseekError as error:
            self._reporter.warned(self._step, f"{error}; the run's figures are in log.jsonl")
