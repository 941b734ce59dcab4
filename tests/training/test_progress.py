"""What a person sees of a run before its first step."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from inkseek.datasets.catalogue import open_dataset
from inkseek.training.progress import RichReporter
from inkseek.training.recipe import load_recipe
from inkseek.training.trainer import Plan


def test_classes_that_are_missing_or_unknown_are_named_before_training(tmp_path: Path) -> None:
    for name in ("airplane", "bicycle", "unicorn"):
        for domain, file in (("sketch", "1.png"), ("photo", "1.jpg")):
            path = tmp_path / domain / name / file
            path.parent.mkdir(parents=True)
            path.touch()
    dataset = open_dataset("quickdraw-photo", tmp_path)
    plan = Plan(load_recipe("quickdraw-rdvc"), dataset, dataset.training(), dim=8, trained_parameters=1, parameters=2)
    said = io.StringIO()
    with RichReporter(Console(file=said, width=400)) as reporter:
        reporter.started(plan, 0)
    assert "classes of quickdraw-photo that are missing: The_Eiffel_Tower, " in said.getvalue()
    assert "left out: unicorn" in said.getvalue()
