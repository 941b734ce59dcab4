"""Bundles on the Hugging Face Hub: fetched through its local cache, published with a model card.

What comes from the Hub is a stranger's: two files are fetched, a checked `model.json` and safetensors, and no code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from inkseek.errors import InkseekError
from inkseek.models.card import Card

_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")


class Figures(Protocol):
    """What a model card shows of `inkseek.evaluation.results.Results`, which live a floor above."""

    @property
    def protocol(self) -> str:
        """The protocol's name."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Classes, queries, gallery."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Name as printed -> value."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""

    @property
    def fingerprint(self) -> str:
        """Of the model that was measured."""


def is_hub_id(name: str) -> bool:
    """Whether this is written as `owner/name` or `owner/name@revision`, and no folder lies where it would point."""
    path = Path(name)
    return _ID.fullmatch(name) is not None and not path.exists() and not path.parent.exists()


def download(name: str, files: list[str]) -> Path:
    """Fetch the named files of `owner/name[@revision]`, or find them in the local cache, and return their folder.

    Raises:
        InkseekError: no such repository, no access to it, or no network and nothing in the cache.
    """
    from huggingface_hub import snapshot_download

    parts = _ID.fullmatch(name)
    if parts is None:
        raise InkseekError(f"{name}: a model on the Hub is named owner/name or owner/name@revision")
    try:
        return Path(snapshot_download(parts["repo"], revision=parts["revision"], allow_patterns=files))
    except Exception as error:  # the network fails in ways of several libraries
        raise InkseekError(
            f"{name}: no such folder, and it cannot be had from the Hugging Face Hub: {_reason(error)}"
        ) from None


def upload(folder: Path, repo: str, *, private: bool) -> str:
    """Publish a folder as `owner/name` and return its address.

    Raises:
        InkseekError: not logged in, no right to write there, or no network.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        address = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Upload an Inkseek model")
    except Exception as error:  # the network fails in ways of several libraries
        raise InkseekError(
            f"{repo}: cannot be published on the Hugging Face Hub: {_reason(error)} (`hf auth login` logs in)"
        ) from None
    return str(address)


def model_card(card: Card, fingerprint: str, repo: str, *, results: Figures | None, recipe: str, licence: str) -> str:
    """Return the README.md of a published model: protocol and figures, recipe, licence, attribution.

    Args:
        card: the bundle's.
        fingerprint: the model's.
        repo: `owner/name`.
        results: what was measured.
        recipe: the training run's resolved recipe; where its pictures lay is left out.
        licence: of the weights, one of the Hub's identifiers.

    Raises:
        InkseekError: the results are another model's.
    """
    if results is not None and results.fingerprint != fingerprint:
        raise InkseekError(
            f"the results are of the model {results.fingerprint[:12]}, this one is {fingerprint[:12]}; measure it again"
        )
    about = {
        "library_name": "inkseek",
        "license": licence,
        "pipeline_tag": "image-feature-extraction",
        "tags": ["metric-learning", "sketch-based-image-retrieval"],
    }
    environment = Environment(
        loader=PackageLoader("inkseek.models", "."), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("model_card.md.j2").render(
        about=yaml.safe_dump(about, sort_keys=False).strip(),
        card=card,
        fingerprint=fingerprint,
        repo=repo,
        results=results,
        recipe=_without_root(recipe),
        licence=licence,
    )


def _without_root(recipe: str) -> str:
    """Leave out where the pictures lay: that is the trainer's own machine."""
    values = yaml.safe_load(recipe) if recipe else None
    if not isinstance(values, dict):
        return ""
    if isinstance(values.get("data"), dict):
        values["data"].pop("root", None)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).strip()


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
