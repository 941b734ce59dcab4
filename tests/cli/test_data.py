"""`inkseek data` as a user runs it: what is printed, and the exit code that a script reads."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from inkseek.cli.main import main
from inkseek.datasets.records import DATASET_RECORDS, RECORDS

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `inkseek data ...`, and return the exit code and what was printed on both streams."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["inkseek", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return int(caught.value.code or 0), out, err

    return call


@pytest.mark.parametrize("verb", ["list", "check", "prepare"])
def test_every_verb_has_help_with_an_example(verb: str, run: Run) -> None:
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert f"inkseek data {verb}" in out.partition("Options")[0].partition("\n")[2]


def test_list_names_every_data_set_and_protocol(run: Run) -> None:
    code, out, _ = run("list")
    assert code == 0
    assert all(f"\n{name}: " in f"\n{out}" for name in DATASET_RECORDS)
    assert all(f"  {name}: " in out for name in RECORDS)
    assert "  sketchy-ext/split2/unseen: 21 classes, 12,694 queries, 12,553 gallery pictures\n" in out


def test_list_says_where_one_comes_from(run: Run) -> None:
    _, out, _ = run("list", "tu-berlin-ext")
    assert "doi 10.1145/2185520.2185540" in out
    assert "CC BY 4.0" in out
    assert "30 unseen: banana, bus, tractor" in out
    assert "prints mAP@all (VOC), mAP@all, P@100" in out
    assert run("list", "tu-berlin")[0] == 2
    read = json.loads(run("list", "--json")[1])
    assert read["sop"]["protocols"]["sop/unseen"]["queries"] == 60_502
    assert len(read["sketchy-ext/split1"]["unseen"]) == 25


@pytest.mark.data
def test_check_of_the_real_pictures(run: Run, pictures: Path) -> None:
    code, out, _ = run("check", "quickdraw-photo", "--root", pictures / "quickdraw_photo")
    assert code == 0
    assert "as the protocol says" in out
    assert "folders 256x256/sketch/tx_000000000000, 256x256/photo/tx_000000000000" in out
    code, out, _ = run("check", "cub-200-2011", "--root", pictures / "CUB_10cls", "--json")
    assert code == 1
    read = json.loads(out)["cub-200-2011"]
    assert not read["standard"]
    assert read["counts"]["unseen"]["classes"] == {"expected": 100, "found": 5}


def test_check_of_a_small_copy_says_what_differs(run: Run, tiny_quickdraw: Path, tmp_path: Path) -> None:
    code, out, _ = run("check", "quickdraw-photo", "--root", tiny_quickdraw)
    assert code == 1
    assert "NON-STANDARD" in out
    (row,) = [line for line in out.splitlines() if line.split()[:2] == ["unseen", "classes"]]
    assert row.split() == ["unseen", "classes", "12", "12"]
    assert sum(line.split()[-4:] == ["queries", "300", "24", "differs"] for line in out.splitlines()) == 1
    root = tmp_path / "fewer"
    shutil.copytree(tiny_quickdraw, root)
    for domain in ("sketch", "photo"):
        shutil.rmtree(root / domain / "ant")
        (root / domain / "crab").rename(root / domain / "crayfish")
    code, out, _ = run("check", "quickdraw-photo", "--root", root)
    assert code == 1
    assert "missing classes: crab, ant" in out
    assert "folders that are no class of this data set are left out: crayfish" in out


def test_check_of_what_cannot_be_opened(run: Run, tmp_path: Path) -> None:
    code, _, err = run("check", "sop", "--root", tmp_path)
    assert code == 2
    assert "Ebay_train.txt: no such file" in err
    code, _, err = run("check", "sketchy-ext", "--root", tmp_path)
    assert code == 2
    assert "no picture of sketchy-ext/split1 is here" in err
    assert "did you mean 'sop'" in run("check", "sopp", "--root", tmp_path)[2]
    assert "--root" in run("check", "cars196")[2]


def test_prepare_unpacks_resizes_and_checks(run: Run, tiny_quickdraw: Path, tmp_path: Path) -> None:
    root, to = tmp_path / "downloads", tmp_path / "small"
    root.mkdir()
    with zipfile.ZipFile(root / "all.zip", "w") as archive:
        for path in sorted(tiny_quickdraw.rglob("*.*")):
            archive.write(path, path.relative_to(tiny_quickdraw))
        archive.writestr("photo/ant/torn.jpg", b"JFIF")
    code, _, err = run("prepare", "quickdraw-photo", "--root", root, "--to", to, "--size", "32")
    assert code == 0
    assert "all.zip: photo/ant/torn.jpg: not a picture" in err
    assert "208 files written, 1 left out" in err
    assert "NON-STANDARD" in err
    assert len(list(to.rglob("*.jpg"))) == 104
    code, _, err = run("prepare", "quickdraw-photo", "--root", root, "--to", to, "--size", "32")
    assert "208 were there, 1 left out" in err
    code, _, err = run("prepare", "sop", "--root", root, "--to", tmp_path / "other", "--size", "32")
    assert code == 0
    assert "sop cannot be opened yet" in err
    assert run("prepare", "sopp", "--root", root, "--to", to)[0] == 2
    assert run("prepare", "sop", "--root", tmp_path / "none", "--to", tmp_path / "x")[0] == 2


@pytest.mark.parametrize("protocol", ["own", "own/all", "quickdraw-photo/unseen@without=tu-berlin-ext"])
def test_evaluate_opens_protocols_by_name(
    protocol: str, tiny_quickdraw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["inkseek", "evaluate", "frozen:tf_efficientnet_lite0@32", "--protocol", protocol]
    monkeypatch.setattr(sys, "argv", [*words, "--root", str(tiny_quickdraw), "--json"])
    with pytest.raises(SystemExit) as caught:
        main()
    out, err = capsys.readouterr()
    assert caught.value.code in (0, None), err
    read = json.loads(out)
    assert read["protocol"].startswith(protocol)
    assert 0 < read["metrics"]["mAP@all"] <= 1
