"""What a person sees of a run before its first step."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from inkseek.training.plan import make_plan
from inkseek.training.progress import RichReporter
from inkseek.training.recipe import load_recipe


def test_classes_that_are_missing_or_unknown_are_named_before_training(tmp_path: Path) -> None:
    for name in ("airplane", "bicycle", "unicorn"):
        for domain, file in (("sketch", "1.png"), ("photo", "1.jpg")):
            path = tmp_path / domain / name / file
            path.parent.mkdir(parents=True)
            path.touch()
    recipe = load_recipe("quickdraw-rdvc", [f"data.root={tmp_path}", "batch.classes=2"])
    plan = make_plan(recipe, "quickdraw-rdvc")
    said = io.StringIO()
    with RichReporter(Console(file=said, width=400)) as reporter:
        reporter.started(plan, 0)
    assert "classes of quickdraw-photo that are missing: The_Eiffel_Tower, " in said.getvalue()
    assert "left out: unicorn" in said.getvalue()
