"""Models on the Hub: published with a model card, fetched through the cache, and a stranger's until checked."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from inkseek.errors import InkseekError
from inkseek.evaluation.results import Results
from inkseek.models.bundle import Model, load, new_model

RECIPE = "data:\n  name: quickdraw-photo\n  root: /home/somebody/pictures\nseed: 3\n"


@dataclass
class Api:
    """The Hub as far as publishing goes: it keeps what it is given."""

    folder: Path
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def create_repo(self, repo_id: str, **options: object) -> str:
        self.calls.append(("create_repo", {"repo_id": repo_id, **options}))
        return f"https://hub.example/{repo_id}"

    def upload_folder(self, *, folder_path: Path, **options: object) -> None:
        self.calls.append(("upload_folder", options))
        shutil.copytree(folder_path, self.folder)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Api:
    api = Api(tmp_path / "published")
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: api)
    return api


def model_of_a_run(tmp_path: Path) -> Model:
    torch.manual_seed(0)
    new_model(
        "tf_efficientnet_lite0",
        dim=8,
        image_size=64,
        head_batchnorm=True,
        recipe="quickdraw-rdvc",
        trained_on="quickdraw-photo",
        attribution="Drawings: QuickDraw, CC BY 4.0",
    ).save(tmp_path / "run" / "bundle")
    (tmp_path / "run" / "recipe.yaml").write_text(RECIPE)
    return load(tmp_path / "run")


def results_of(fingerprint: str) -> Results:
    return Results(
        protocol="quickdraw-photo/unseen",
        model="run",
        fingerprint=fingerprint,
        counts={"classes": 12, "queries": 300, "gallery": 381, "excluded": 0},
        metrics={"mAP@all": 0.42704, "P@100 (min)": 0.395},
        per_query={"mAP@all": np.array([0.4])},
        labels=np.array([0]),
        classes=("cat",),
        notes=("NON-STANDARD: 300 queries instead of 301",),
    )


def test_a_published_model_comes_back_with_a_card_that_says_what_it_is(api: Api, tmp_path: Path) -> None:
    model = model_of_a_run(tmp_path)
    address = model.push_to_hub("me/sketches", results=results_of(model.fingerprint), licence="cc-by-4.0")
    assert address == "https://hub.example/me/sketches"
    assert [name for name, _ in api.calls] == ["create_repo", "upload_folder"]
    assert api.calls[0][1] == {"repo_id": "me/sketches", "private": True, "exist_ok": True}
    assert api.calls[1][1]["repo_id"] == "me/sketches"
    assert sorted(path.name for path in api.folder.iterdir()) == ["README.md", "model.json", "model.safetensors"]
    assert load(api.folder).fingerprint == model.fingerprint

    _, about, readme = (api.folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert yaml.safe_load(about)["license"] == "cc-by-4.0"
    assert yaml.safe_load(about)["library_name"] == "inkseek"
    for line in (
        "# sketches",
        'model = inkseek.load("me/sketches")',
        "| backbone | `tf_efficientnet_lite0` |",
        "| recipe | quickdraw-rdvc |",
        "| trained on | quickdraw-photo |",
        "| mAP@all | 0.4270 |",
        "| P@100 (min) | 0.3950 |",
        "NON-STANDARD: 300 queries instead of 301",
        "The weights' licence: cc-by-4.0.",
        "Data: Drawings: QuickDraw, CC BY 4.0",
    ):
        assert line in readme.splitlines()
    assert "Protocol `quickdraw-photo/unseen`: classes 12, queries 300, gallery 381, excluded 0." in readme
    recipe = readme.split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(recipe) == {"data": {"name": "quickdraw-photo"}, "seed": 3}
    assert "somebody" not in readme


def test_a_card_without_figures_says_so(api: Api) -> None:
    torch.manual_seed(0)
    new_model("tf_efficientnet_lite0", dim=None, image_size=64).push_to_hub("me/plain", private=False)
    assert api.calls[0][1]["private"] is False
    readme = (api.folder / "README.md").read_text(encoding="utf-8")
    assert "Not measured." in readme.splitlines()
    assert "| embedding | the backbone's own feature |" in readme.splitlines()


def test_figures_of_another_model_are_not_published(api: Api, tmp_path: Path) -> None:
    with pytest.raises(InkseekError, match="measure it again"):
        model_of_a_run(tmp_path).push_to_hub("me/sketches", results=results_of("0" * 64))
    assert not api.calls


def test_publishing_without_a_network_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InkseekError, match="me/sketches: cannot be published") as caught:
        model_of_a_run(tmp_path).push_to_hub("me/sketches")
    assert "\n" not in str(caught.value)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frozen_bundle: Path) -> Path:
    """The Hub's local cache as a download left it, and no folder of that name at hand; the files of its snapshot."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--me--sketches"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    snapshot = repository / "snapshots" / COMMIT
    shutil.copytree(frozen_bundle, snapshot)
    return snapshot


@pytest.mark.parametrize("name", ["me/sketches", f"me/sketches@{COMMIT}"])
def test_a_fetched_model_loads_without_a_network(name: str, cached: Path, frozen_model: Model) -> None:
    model = load(name)
    assert model.fingerprint == frozen_model.fingerprint
    assert model.path is None


def test_a_model_that_was_never_fetched_is_one_line_without_a_network(cached: Path) -> None:
    with pytest.raises(InkseekError, match="me/other: no such folder, and it cannot be had from the Hugging Face Hub"):
        load("me/other")


def test_only_the_card_and_the_weights_are_asked_for(monkeypatch: pytest.MonkeyPatch, frozen_bundle: Path) -> None:
    asked: dict[str, object] = {}

    def download(repo: str, **options: object) -> str:
        asked.update(options, repo=repo)
        return str(frozen_bundle)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    load("me/sketches@v1")
    assert asked == {"repo": "me/sketches", "revision": "v1", "allow_patterns": ["model.json", "model.safetensors"]}


def test_a_mistyped_run_is_not_looked_for_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(InkseekError, match="runs/quikdraw: no model here"):
        load("runs/quikdraw")


@pytest.mark.parametrize(
    "card",
    [
        {"backbone": "hf-hub:evil/model"},
        {"backbone": "local-dir:/etc"},
        {"std": [0.5, 0.0, 0.5]},
        {"mean": [float("nan"), 0.5, 0.5]},
        {"channels": "cmyk"},
        {"image_size": 10**9},
        {"attribution": "x" * 2**21},
    ],
)
def test_a_strangers_card_is_checked(card: dict[str, object], cached: Path) -> None:
    file = cached / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **card}))
    with pytest.raises(InkseekError, match=r"not a model card|unknown backbone"):
        load("me/sketches")


def test_a_strangers_pickle_is_not_opened(cached: Path) -> None:
    (cached / "model.safetensors").write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(InkseekError, match="not this model's weights"):
        load("me/sketches")
