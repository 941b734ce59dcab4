"""Trackers, where a recipe asks for one: the log's figures once more, in whatever accelerate can write to."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from inkseek.errors import InkseekError

TrackerName = Literal["aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb"]

PROJECT = "inkseek"

_EXTRA = "'inkseek[tracking]'"
_PACKAGES = {"comet_ml": "comet-ml", "mlflow": "mlflow-skinny", "tensorboard": _EXTRA}
# Holds the run's name among a service's own, so that a resumed run is the same one there.
_ID = "tracker.json"


def check_tracker(name: TrackerName | None) -> None:
    """Make sure, before anything is done, that a tracker can be had.

    Raises:
        InkseekError: a package is not installed.
    """
    if name is None:
        return
    try:
        from accelerate.tracking import get_available_trackers
    except ImportError:
        raise InkseekError(f"track: {name} needs accelerate, which is not installed: pip install {_EXTRA}") from None
    if name not in map(str, get_available_trackers()):
        package = _PACKAGES.get(name, name)
        raise InkseekError(f"track: {name} needs a package that is not installed: pip install {package}")


class Tracker:
    """Writes what the log writes to a tracker too, or nowhere.

    TensorBoard, Aim and DVCLive write below the run's folder; the others' own environment variables say where to
    (`MLFLOW_TRACKING_URI`, `WANDB_MODE=offline`). A resumed run goes on as the same run of TensorBoard, DVCLive,
    MLflow, trackio and Weights & Biases; elsewhere it begins another.

    Args:
        run: the run's folder.
        name: the recipe's `track`.
        keep: steps after this one are of a run that was cut off, and are written again.
        settings: the recipe's, nested; they are stored once.

    Raises:
        InkseekError: here, in `write` and in `close`: the tracker fails, in a line that says why.
    """

    def __init__(self, run: Path, name: TrackerName | None, *, keep: int, settings: Mapping[str, Any]) -> None:
        self._name = name
        self._tracker: Any = None
        if name is None:
            return
        check_tracker(name)
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        with self._said("cannot start"):
            _alone()
            given, options = _arguments(run, name, keep)
            tracker = LOGGER_TYPE_TO_CLASS[name](*given, **options)
            tracker.start()
            if name == "mlflow":
                _remember(run, tracker.tracker.info.run_id)
            if not keep and name != "tensorboard":  # there it would be a run of its own
                tracker.store_init_configuration(dict(_flat(settings)))
            self._tracker = tracker

    def write(self, step: int, row: Mapping[str, float]) -> None:
        """Write one line of the log."""
        if self._tracker is not None:
            with self._said("failed, and is not written to any more"):
                self._tracker.log({self._key(name): value for name, value in row.items()}, step=step)

    def close(self) -> None:
        """Have everything where it belongs."""
        if self._tracker is not None:
            with self._said("cannot be closed"):
                self._tracker.finish()

    def _key(self, name: str) -> str:
        """A figure's name: trackers group by what stands before a slash. MLflow makes files of them, of few signs."""
        if self._name == "mlflow":
            return re.sub(r"[^\w ./:-]", "_", name)
        return name.replace(" ", "/").replace(".", "/")

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each service fails in ways of its own
            failed, self._tracker = self._tracker, None
            with suppress(Exception):
                failed.finish()
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise InkseekError(f"track: {self._name} {what} ({reason})") from None


def _arguments(run: Path, name: TrackerName, keep: int) -> tuple[tuple[object, ...], dict[str, object]]:
    """What accelerate's tracker of that name is built with."""
    match name:
        case "tensorboard":
            return (name, run), {"purge_step": keep + 1}
        case "aim":
            return (run.name, run), {}
        case "dvclive":
            return (), {"dir": str(run / name), "resume": keep > 0, "save_dvc_exp": False}
        case "mlflow":
            return (PROJECT,), {"run_name": run.name, "run_id": _remembered(run)}
        case "wandb":
            known = _remembered(run) or _remember(run, uuid.uuid4().hex)
            return (PROJECT,), {"name": run.name, "dir": str(run), "id": known, "resume": "allow"}
        case "trackio":
            known = _remembered(run) or _remember(run, f"{run.name}-{uuid.uuid4().hex[:8]}")
            return (PROJECT,), {"name": known, "resume": "allow"}
        case "clearml":
            return (PROJECT,), {"task_name": run.name}
        case "swanlab":
            return (PROJECT,), {"experiment_name": run.name}
        case "comet_ml":
            return (PROJECT,), {}


def _remembered(run: Path) -> str | None:
    file = run / _ID
    return str(json.loads(file.read_text(encoding="utf-8"))["id"]) if file.exists() else None


def _remember(run: Path, known: str) -> str:
    (run / _ID).write_text(json.dumps({"id": known}) + "\n", encoding="utf-8")
    return known


def _alone() -> None:
    """Tell accelerate that no other process tracks; with a launcher's variable in sight it would join one with all."""
    from accelerate import PartialState

    rank = os.environ.pop("LOCAL_RANK", None)
    try:
        PartialState()
    finally:
        if rank is not None:
            os.environ["LOCAL_RANK"] = rank


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str | float | bool]]:
    """Nested settings as `optim.lr.head` -> value, as services take them."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        elif value is not None:
            yield f"{above}{key}", value if isinstance(value, str | int | float) else json.dumps(value)
