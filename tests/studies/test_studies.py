"""Every study at a tiny scale: files, columns, verdicts, resuming, and that its rows are real recipes."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from scipy.io import savemat

from inkseek.errors import InkseekError
from inkseek.evaluation.results_csv import COLUMNS
from inkseek.studies import runs, tuning
from inkseek.studies.catalogue import STUDIES, study
from inkseek.studies.reproduce import KEYS, reproduce
from inkseek.studies.runs import Bench, digest
from inkseek.studies.study import Row, Scale, Study
from inkseek.training.plan import Plan
from inkseek.training.trainer import train

SCALES: tuple[Scale, ...] = ("small", "full")


class _Silent:
    def started(self, plan: Plan, step: int) -> None: ...
    def stepped(self, step: int, figures: Mapping[str, float]) -> None: ...
    def validated(self, step: int, metric: str, value: float, best: bool) -> None: ...
    def warned(self, step: int, advice: str) -> None: ...


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory, tiny_quickdraw: Path) -> Path:
    """A folder of data sets in the small scale's layout: flowers, QuickDraw's photos, five classes of Sketchy."""
    root = tmp_path_factory.mktemp("tiny")
    (root / "quickdraw_photo").symlink_to(tiny_quickdraw, target_is_directory=True)
    labels = np.repeat(np.arange(1, 97), 3)
    (root / "flowers-102" / "jpg").mkdir(parents=True)
    savemat(root / "flowers-102" / "imagelabels.mat", {"labels": labels[None].astype(np.uint8)})
    for number, label in enumerate(labels.tolist(), start=1):
        colour = tuple(np.random.default_rng(label).integers(0, 255, 3).tolist())
        picture = Image.new("RGB", (40, 40), colour)
        ImageDraw.Draw(picture).ellipse((5, 5, 20 + number % 3, 30), fill="white")
        picture.save(root / "flowers-102" / "jpg" / f"image_{number:05d}.jpg")
    for seed, name in enumerate(("dog", "elephant", "giraffe", "guitar", "horse")):
        for number in range(4):
            points = [tuple(p) for p in np.random.default_rng((seed, number)).integers(4, 36, (5, 2)).tolist()]
            sketch, photo = Image.new("L", (40, 40), 255), Image.new("RGB", (40, 40), (90, 140, 90 + 9 * number))
            ImageDraw.Draw(sketch).line([*points, points[0]], fill=0, width=2)
            ImageDraw.Draw(photo).polygon(points, fill=(200, 60 + seed, 40))
            for domain, picture, file in (("sketch", sketch, f"n0{number}-1.png"), ("photo", photo, f"n0{number}.jpg")):
                path = root / "Sketchy_5cls" / "256x256" / domain / "tx_000000000000" / name / file
                path.parent.mkdir(parents=True, exist_ok=True)
                picture.save(path)
    return root


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a network of timm's own tests, drawn at random."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(timm.create_model("test_efficientnet").state_dict(), path)
    return path


@pytest.fixture(scope="session")
def shared_bench(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path, tiny_weights: Path) -> Bench:
    """Where runs of two steps of a tiny network are made, and found again by other studies."""
    network = ("model.backbone=test_efficientnet", f"model.weights={tiny_weights}", "model.dim=8")
    short = ("optim.steps=2", "data.image_size=32")
    return Bench(tmp_path_factory.mktemp("shared") / "runs", tiny_data, (*network, *short), _Silent())


@pytest.fixture
def bench(shared_bench: Bench, tmp_path: Path) -> Bench:
    """The same with a folder of its own."""
    return replace(shared_bench, folder=tmp_path / "runs")


def few_trials(name: str, trials: int) -> Study:
    """A study with fewer trials a row."""
    return replace(study(name), budget=trials)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def with_few(of: Study, most: int) -> list[str]:
    """Rows that every claim needs the fewest of: the first ones, and those of the last claim."""
    last = of.claims["small"][-1]
    named = [getattr(last, key) for key in ("better", "lower", "than", "row") if hasattr(last, key)]
    return list(dict.fromkeys([*named, *(row.name for row in of.rows["small"])]))[:most]


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_from_trials_to_page(name: str, shared_bench: Bench, tmp_path: Path) -> None:
    of = few_trials(name, 1)
    rows = with_few(of, 2)
    page = reproduce(of, "small", seeds=2, folder=tmp_path / "out", bench=shared_bench, resume=False, only=rows)
    folder = tmp_path / "out" / f"{name}-small"
    finished = read(folder / "runs.csv")
    assert {(row["row"], row["seed"]) for row in finished} == {(row, str(seed)) for row in rows for seed in range(2)}
    assert [*finished[0]][: len(COLUMNS) + len(KEYS)] == [*COLUMNS, *KEYS]
    assert all(row[column] for row in finished for column in (*COLUMNS, "scale", "row", "digest"))
    assert {metric for metric in of.metrics["small"] if metric in finished[0]}
    verdicts = read(folder / "verdicts.csv")
    assert len(verdicts) == len(of.claims["small"])
    for line in verdicts:
        judged = {"supported", "not supported", "undecided"} if int(line["count"]) > 1 else {"undecided"}
        assert line["verdict"] in judged
    grids = {row.name for row in of.rows["small"] if row.grid}
    if grids & set(rows):
        trials = read(folder / "tuning.csv")
        assert {row["row"] for row in trials} >= grids & set(rows)
        assert all(row["protocol"].endswith("/pseudo-unseen") for row in trials)
    text = page.read_text(encoding="utf-8")
    assert of.says in text
    assert "not run" in text or len(rows) == len(of.rows["small"])
    assert str(tmp_path) not in text + "".join(file.read_text() for file in folder.glob("*.csv"))
    with Image.open(folder / "figure.png") as picture:
        assert picture.width > 500
    assert (folder / "figure.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_a_resumed_study_repeats_no_finished_run(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of, rows = few_trials("fig5", 2), ["random", "PK"]
    trained: list[str] = []
    cuts = [6]

    def counted(*arguments: object, **options: object) -> object:
        trained.append(str(options["name"]))
        if cuts == [len(trained)]:
            raise KeyboardInterrupt
        return train(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(runs, "train", counted)
    with pytest.raises(KeyboardInterrupt):
        reproduce(of, "small", seeds=2, folder=tmp_path / "out", bench=bench, resume=False, only=rows)
    with pytest.raises(InkseekError, match="holds fig5 already; go on with --resume"):
        reproduce(of, "small", seeds=2, folder=tmp_path / "out", bench=bench, resume=False, only=rows)
    cut = trained.pop()
    cuts.clear()
    reproduce(of, "small", seeds=2, folder=tmp_path / "out", bench=bench, resume=True, only=rows)
    assert len(trained) == len(set(trained)) == 8  # four trials and four runs
    assert cut in trained
    before = {file.name: file.read_bytes() for file in (tmp_path / "out" / "fig5-small").iterdir()}
    reproduce(of, "small", seeds=2, folder=tmp_path / "out", bench=bench, resume=True, only=rows)
    assert len(trained) == 8
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "out" / "fig5-small").iterdir()}
    # Another study with the same rows takes the runs that are there.
    reproduce(few_trials("table4", 2), "small", seeds=2, folder=tmp_path / "out", bench=bench, resume=False, only=rows)
    assert len(trained) == 8
    theirs = read(tmp_path / "out" / "table4-small" / "runs.csv")
    ours = read(tmp_path / "out" / "fig5-small" / "runs.csv")
    assert [row["Acc@1 (class gallery)"] for row in theirs] == [row["Acc@1 (class gallery)"] for row in ours]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", STUDIES)
def test_rows_are_recipes_and_claims_are_of_rows(name: str, scale: Scale, tmp_path: Path) -> None:
    of, bench = study(name), Bench(tmp_path, None, (), _Silent())
    names = [row.name for row in of.rows[scale]]
    assert len(set(names)) == len(names)
    chosen: dict[str, tuple[str, ...]] = {}
    digests = set()
    for row in of.rows[scale]:
        under = () if row.like is None else chosen[row.like]
        chosen[row.name] = (*under, *(tuning.settings(row.grid, of.budget)[0] if row.grid else ()))
        digests.add((digest(bench.recipe(row, chosen[row.name])), row.measured_on))
    assert len(digests) == len(names)
    for claim in of.claims[scale]:
        rows = getattr(claim, "rows", None) or [
            getattr(claim, key) for key in ("better", "lower", "than", "row") if hasattr(claim, key)
        ]
        assert set(rows) <= set(names)
        assert rows


def test_a_baseline_has_as_many_trials_as_ours() -> None:
    for of in STUDIES.values():
        tried = {
            row.name: len(tuning.settings(row.grid, of.budget)) for row in of.rows["small"] if row.grid and not row.like
        }
        for claim in of.claims["small"]:
            better, than = getattr(claim, "better", None), getattr(claim, "than", None)
            if better in tried and than in tried:
                assert tried[better] <= tried[than] == of.budget, (of.name, better, than)


def test_settings_are_the_grid_or_a_draw_of_it() -> None:
    grid = {"a.b": (1.0, 1e-5), "c": ({"ratio": 0.5},)}
    assert tuning.settings(grid, 9) == [("a.b=1.0", 'c={"ratio": 0.5}'), ("a.b=0.00001", 'c={"ratio": 0.5}')]
    large = {"a": tuple(range(10)), "b": tuple(range(10))}
    drawn = tuning.settings(large, 9)
    assert len(set(drawn)) == 9
    assert drawn == tuning.settings(large, 9)
    assert tuning.choose({"a": (1, 2, 3)}, 3, lambda settings: -abs(float(settings[0][2:]) - 2)) == ("a=2",)
    assert tuning.choose({}, 3, lambda _: pytest.fail("nothing to try")) == ()


def test_a_digest_is_of_what_is_computed(tmp_path: Path) -> None:
    bench, row = Bench(tmp_path, None, (), _Silent()), Row("", "studies/flowers-head")

    def of(*settings: str) -> str:
        return digest(bench.recipe(row, settings))

    assert of() == of("seed=7", "data.root=elsewhere", "threads=2", "device=cpu")
    assert len({of(), of("optim.steps=7"), of("objective.triplet.margin=7"), of("data.image_size=64")}) == 4


def test_unknown_names_are_one_line(tmp_path: Path, bench: Bench) -> None:
    with pytest.raises(InkseekError, match="no study is named 'tabel1'; did you mean 'table1'"):
        study("tabel1")
    with pytest.raises(InkseekError, match="fig5 has no row 'nobody'; it has random, PK"):
        reproduce(study("fig5"), "small", seeds=1, folder=tmp_path, bench=bench, resume=False, only=["nobody"])
    assert not list(tmp_path.iterdir())
