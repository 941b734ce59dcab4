"""`inkseek score` and `inkseek compare` as they are typed, from files to the last line."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inkseek.cli.main import main
from inkseek.evaluation.results import Results
from inkseek.metrics.ranking import rank

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run the command in a folder with embeddings of a good and of a poor model; return code, output, complaints."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    labels, found = np.repeat(np.arange(6), 8), np.repeat(np.arange(6), 12)
    centres = rng.normal(size=(6, 10))
    for name, noise in (("good", 0.4), ("poor", 2.5)):
        np.save(f"{name}-q.npy", centres[labels] + noise * rng.normal(size=(48, 10)))
        np.save(f"{name}-g.npy", centres[found] + noise * rng.normal(size=(72, 10)))
    names = np.array([f"class {n}" for n in range(6)])
    np.save("ql.npy", names[labels])
    np.savez("gl.npz", labels=names[found], spare=found)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["inkseek", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return call


def two_domains(model: str) -> list[str]:
    sides = ["--queries", f"{model}-q.npy", "--query-labels", "ql.npy", "--gallery", f"{model}-g.npy"]
    return ["score", *sides, "--gallery-labels", "gl.npz:labels"]


def test_score_of_two_domains(run: Run) -> None:
    code, out, _ = run(*two_domains("good"), "--metrics", "mAP@all,P@10", "--metrics", "R@1")
    assert code == 0
    q, g = np.load("good-q.npy"), np.load("good-g.npy")
    expected = rank(
        q, np.repeat(np.arange(6), 8), g, np.repeat(np.arange(6), 12), metrics=["mAP@all", "P@10", "R@1"]
    ).micro()
    for name, value in expected.items():
        assert any(line.split()[:2] == [name, f"{value:.4f}"] for line in out.splitlines()), out
    assert "good-q.npy" in out


def test_score_of_one_domain_as_json_and_csv(run: Run, tmp_path: Path) -> None:
    code, out, err = run(
        "score", "--embeddings", "good-g.npy", "--labels", "gl.npz:labels", "--json", "--csv", "r.csv", "--name", "mine"
    )
    assert code == 0
    results = Results.from_json(out)
    assert {"R@1", "R@8", "mAP@R", "NMI", "AMI", "F1"} <= set(results.metrics)
    assert results.metrics["R@1"] > 0.9
    assert "a row was added to r.csv" in err
    (row,) = csv.DictReader((tmp_path / "r.csv").open())
    assert (row["recipe"], row["NMI"]) == ("mine", f"{results.metrics['NMI']:.6f}")
    assert row["command"].startswith("inkseek score --embeddings good-g.npy")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--queries, --query-labels, --gallery, --gallery-labels missing"),
        (["--embeddings", "good-q.npy"], "--labels missing"),
        (["--embeddings", "good-q.npy", "--labels", "ql.npy", "--gallery", "x"], "exclude each other"),
        (["--embeddings", "good-q.npy", "--labels", "gl.npz:spare"], "72"),
        (["--embeddings", "good-q.npy", "--labels", "gl.npz"], "several arrays"),
        (["--embeddings", "nowhere.npy", "--labels", "ql.npy"], "nowhere.npy: cannot be read"),
        (["--embeddings", "good-q.npy", "--labels", "ql.npy", "--metrics", "mAP"], "leaves its convention open"),
        (["--embeddings", "good-q.npy", "--labels", "ql.npy", "--metrics", "Acc@1"], "give the instances"),
    ],
)
def test_a_mistake_in_scoring_is_one_line(run: Run, arguments: list[str], message: str) -> None:
    code, out, err = run("score", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_compare_tells_a_good_model_from_a_poor_one(run: Run) -> None:
    for model in ("good", "poor"):
        Path(f"{model}.json").write_text(run(*two_domains(model), "--json")[1])
    good, poor = (Results.from_json(Path(f"{model}.json").read_text()) for model in ("good", "poor"))
    code, out, _ = run("compare", "good.json", "poor.json", "--metrics", "mAP@all", "--json")
    assert code == 0
    (found,) = json.loads(out)
    assert (found["first"], found["second"]) == ("good.json", "poor.json")
    assert found["means"] == [good.metrics["mAP@all"], poor.metrics["mAP@all"]]
    assert found["class_means"] == pytest.approx([good.macro()["mAP@all"], poor.macro()["mAP@all"]])
    low, high = found["interval"]
    assert 0 < low < found["paired"]["difference"] < high
    assert found["t_p"] == found["paired"]["t_p"] < 0.01
    table = run("compare", "good.json", "poor.json")[1]
    for part in ("6 classes, 48 queries", "A  good.json", "A - B", "mAP@200 strict (VOC)", "corrected by Holm"):
        assert part in table


def test_three_results_are_compared_pairwise_and_corrected(run: Run) -> None:
    for model in ("good", "poor"):
        Path(f"{model}.json").write_text(run(*two_domains(model), "--json")[1])
    found = json.loads(run("compare", "good.json", "poor.json", "good.json", "--metrics", "mAP@all", "--json")[1])
    assert [(c["first"], c["second"]) for c in found] == [
        ("good.json", "poor.json"),
        ("good.json", "good.json"),
        ("poor.json", "good.json"),
    ]
    assert [c["t_p"] for c in found] == pytest.approx([3 * found[0]["paired"]["t_p"], 1, 3 * found[0]["paired"]["t_p"]])


def test_what_cannot_be_compared_is_one_line(run: Run) -> None:
    text = run(*two_domains("good"), "--json")[1]
    Path("good.json").write_text(text)
    read = json.loads(text)
    for name, change in {
        "protocol": {"protocol": "sketchy-ext/split2"},
        "queries": {"queries": "0" * 64},
        "fewer": {"labels": read["labels"][:-1], "per_query": {k: v[:-1] for k, v in read["per_query"].items()}},
        "other": {"per_query": {"R@77": read["per_query"]["P@100"]}},
    }.items():
        Path(f"{name}.json").write_text(json.dumps(read | change))
    Path("torn.json").write_text(text[:100])
    for files, message in (
        (["good.json"], "two results at least"),
        (["good.json", "protocol.json"], "different protocols cannot be compared"),
        (["good.json", "queries.json"], "different queries or galleries"),
        (["good.json", "fewer.json"], "different queries or galleries"),
        (["good.json", "other.json"], "no metric in common"),
        (["good.json", "good.json", "--metrics", "NMI"], "'NMI' has no figure for each query"),
        (["good.json", "torn.json"], "torn.json: not results that inkseek wrote"),
        (["good.json", "nowhere.json"], "nowhere.json: cannot be read"),
    ):
        code, out, err = run("compare", *files)
        assert (code, out) == (2, "")
        assert message in err
        assert len(err.splitlines()) == 1
