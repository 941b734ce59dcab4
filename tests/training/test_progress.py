"""What a person sees of a run before its first step, and during it."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from inkseek.training.plan import make_plan
from inkseek.training.progress import RichReporter
from inkseek.training.recipe import load_recipe


def test_what_is_missing_is_named_before_training_and_figures_during_it(tmp_path: Path) -> None:
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
        figures = {"images/s": 73.2, "loss": 0.5, "triplet": 0.4, "rdvc": 0.05, "rdvc.weight": 2.0, "lr": 1e-3}
        of_triplet = {"triplet.active": 0.25, "triplet.mean": -0.1, "triplet.variance": 0.123}
        reporter.stepped(50, figures | of_triplet)
    assert "classes of quickdraw-photo that are missing: The_Eiffel_Tower, " in said.getvalue()
    assert "left out: unicorn" in said.getvalue()
    line = "step 50: 73 images/s, loss 0.500, of triplet 0.400, rdvc 0.050, 25% active, D -0.10 (variance 0.123)"
    assert line in said.getvalue()
