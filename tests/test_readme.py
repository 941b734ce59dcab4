"""What the README shows is run as it stands there; only recipes are cut short."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import statistics
import sys
from pathlib import Path

import numpy as np
import pytest

from inkseek.cli.main import main
from inkseek.evaluation.score import score
from inkseek.training import recipe as recipes

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.startswith("inkseek ")]

# The demo and the server have tests of their own, of which this would be a slower copy.
ELSEWHERE = ("inkseek demo", "inkseek serve")


@pytest.fixture
def as_the_reader(tmp_path: Path, tiny_quickdraw: Path, frozen_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the README takes for granted: pictures, a doodle, the data set, the demo's model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(tiny_quickdraw, tmp_path / "datasets" / "quickdraw_photo")
    shutil.copytree(tiny_quickdraw / "photo", tmp_path / "Pictures")
    shutil.copytree(frozen_bundle, tmp_path / "runs" / "demo" / "bundle")
    shutil.copy(tiny_quickdraw / "sketch" / "ant" / "0.png", tmp_path / "doodle.png")
    rng = np.random.default_rng(0)
    for name, of in (("q", 6), ("g", 9)):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(of, 4)))
        np.save(tmp_path / f"{name}l.npy", np.arange(of) % 3)
    theirs = score(rng.normal(size=(6, 4)), np.arange(6) % 3, rng.normal(size=(9, 4)), np.arange(9) % 3)
    (tmp_path / "theirs.json").write_text(theirs.to_json())
    load = recipes.load_recipe
    short = ["optim.steps=2", "data.image_size=32", "batch.classes=2", "validate.every=2"]
    monkeypatch.setattr(recipes, "load_recipe", lambda name, overrides=(): load(name, [*overrides, *short]))
    return tmp_path


def test_every_command_and_snippet_works_in_the_readmes_order(
    as_the_reader: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, object] = {}
    ran = 0
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, "README.md", "exec"), names)
            ran += 1
        for line in text.splitlines() if kind == "sh" else ():
            if line.startswith("inkseek ") and not line.startswith(ELSEWHERE):
                words = [
                    str(Path(w).expanduser()) if w.startswith("~") else w for w in shlex.split(line, comments=True)
                ]
                words, target = (words[:-2], words[-1]) if words[-2] == ">" else (words, None)
                monkeypatch.setattr(sys, "argv", words)
                capsys.readouterr()
                with pytest.raises(SystemExit) as caught:
                    main()
                said = capsys.readouterr()
                assert caught.value.code in (0, None), f"{line}\n{said.err}"
                if target is not None:
                    Path(target).write_text(said.out)
                ran += 1
    assert ran >= 6


def test_every_option_that_is_shown_exists(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for line in COMMANDS:
        _, verb, *words = shlex.split(line, comments=True)
        monkeypatch.setattr(sys, "argv", ["inkseek", verb, "--help"])
        with pytest.raises(SystemExit):
            main()
        help_text = capsys.readouterr().out
        for option in (word.partition("=")[0] for word in words if word.startswith("-")):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", help_text), line


def tables() -> list[tuple[str, list[list[str]]]]:
    """The README's tables of figures: the CSV that each is made from, and its rows."""
    found = re.findall(r"<!-- (results/[\w.-]+\.csv) -->\n((?:\|.*\n)+)", README)
    return [
        (csv_, [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines()]) for csv_, text in found
    ]


def test_every_figure_is_the_mean_of_committed_results() -> None:
    assert tables()
    for file, (header, _, *rows) in tables():
        with (REPOSITORY / file).open(encoding="utf-8") as stream:
            measured = list(csv.DictReader(stream))
        for row in rows:
            for recipe, shown in zip(header[1:], row[1:], strict=True):
                values = [float(line[row[0]]) for line in measured if line["recipe"] == recipe.strip("`")]
                assert values, f"{file}: no rows of {recipe}"
                assert shown == f"{statistics.mean(values):.3f}", f"{file}: {row[0]} of {recipe}"


def test_files_that_are_linked_exist() -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", README) + re.findall(r'src="(?!https?:)([^"]+)"', README):
        assert (REPOSITORY / target).exists(), target


def test_make_targets_that_are_named_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([\w-]+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
