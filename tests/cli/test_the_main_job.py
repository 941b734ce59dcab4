"""The commands one after another on a tiny data set, as a user runs them; and every verb's help."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from inkseek.cli.main import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["inkseek", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code in (0, None)


@pytest.mark.parametrize(
    "verb", ["demo", "train", "evaluate", "score", "compare", "losses", "index", "search", "serve"]
)
def test_every_verb_has_help_with_an_example(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, verb, "--help")
    assert f"inkseek {verb}" in capsys.readouterr().out.partition("Options")[0].partition("\n")[2]


def test_train_evaluate_index_search(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_quickdraw: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    small = (
        "data.image_size=32",
        "batch.classes=3",
        "optim.steps=3",
        "validate.every=3",
        "model.dim=8",
        "seed=4",
        "validate.on=pseudo-unseen",
    )
    sets = [item for override in small for item in ("--set", override)]
    run(monkeypatch, "train", "quickdraw-rdvc", "--root", tiny_quickdraw, *sets)
    said = capsys.readouterr().err
    assert "32 classes, 64 sketches, 64 photos" in said
    assert "validation mAP@all" in said

    run(monkeypatch, "evaluate", "runs/quickdraw-rdvc", "--csv", "results/run.csv")
    printed = capsys.readouterr().out
    assert "mAP@all" in printed
    assert "NON-STANDARD" in printed
    report = Path("runs/quickdraw-rdvc/report.html").read_text(encoding="utf-8")
    assert "<svg" in report
    with Path("results/run.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["recipe"] == "quickdraw-rdvc"
    assert row["seed"] == "4"
    assert row["protocol"] == "quickdraw-photo/unseen NON-STANDARD"
    assert row["command"] == "inkseek evaluate runs/quickdraw-rdvc --csv results/run.csv"
    assert 0 < float(row["mAP@all"]) <= 1

    run(monkeypatch, "evaluate", "runs/quickdraw-rdvc", "--json", "--no-report")
    read = json.loads(capsys.readouterr().out)
    assert read["metrics"]["mAP@all"] == pytest.approx(float(row["mAP@all"]), abs=1e-6)

    run(monkeypatch, "index", tiny_quickdraw / "photo", "--gallery", "g.db", "--model", "runs/quickdraw-rdvc")
    capsys.readouterr()
    doodle = tiny_quickdraw / "sketch" / "ant" / "0.png"
    run(monkeypatch, "search", doodle, "--gallery", "g.db", "-k", "5", "--json")
    hits = json.loads(capsys.readouterr().out)
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4, 5]
    assert all(Path(hit["path"]).is_file() for hit in hits)
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_the_demo_without_its_training_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, emoji_root: Path
) -> None:
    """The real demo, its recipe cut to two steps at 32 pixels; a second run trains nothing and changes nothing."""
    from inkseek.training import recipe as recipes

    monkeypatch.chdir(tmp_path)
    load = recipes.load_recipe
    short = ["optim.steps=2", "data.image_size=32", "batch.classes=2"]
    monkeypatch.setattr(recipes, "load_recipe", lambda name, overrides=(): load(name, [*overrides, *short]))
    run(monkeypatch, "demo", "--no-serve", "--seed", "3", "--csv", "results/demo.csv")
    said = capsys.readouterr().err
    assert "1628 line drawings with 3256 coloured pictures" in said
    assert "3256 pictures are searchable" in said
    assert "Acc@10" in said
    report = Path("runs/demo/report.html").read_text(encoding="utf-8")
    assert "OpenMoji" in report
    assert "CC BY 4.0" in report
    with Path("results/demo.csv").open() as file:
        before, after = csv.DictReader(file)
    assert (before["recipe"], after["recipe"], after["seed"]) == ("frozen:tf_efficientnet_lite0@32", "emoji-rdvc", "3")
    log = Path("runs/demo/log.jsonl").read_bytes()
    run(monkeypatch, "demo", "--no-serve", "--seed", "3")
    assert Path("runs/demo/log.jsonl").read_bytes() == log
