"""A recipe is checked whole before anything else happens, and says in one line what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from inkseek.errors import InkseekError
from inkseek.training import plain_yaml
from inkseek.training.recipe import load_recipe, shipped_recipes


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads_and_comes_back_from_its_own_yaml(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml())
    assert load_recipe(str(path)) == recipe


def test_overrides_are_yaml_and_reach_every_depth() -> None:
    recipe = load_recipe(
        "quickdraw-rdvc", ["optim.lr.head=5e-4", "objective.rdvc.weight=2", "data.root=a b", "validate.every=7"]
    )
    assert recipe.optim.lr.head == 5e-4
    assert (recipe.objective["rdvc"] or {})["weight"] == 2
    assert recipe.data.root == Path("a b")
    assert recipe.validate_.every == 7


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.setps=3", "unknown key 'optim.setps'; did you mean 'steps'"),
        ("validat.every=3", "unknown key 'validat'; did you mean 'validate'"),
        ("optim.lr.haed=3", "unknown key 'optim.lr.haed'; did you mean 'head'"),
        ("optim.steps=many", "optim.steps: input should be a valid integer"),
        ("optim.steps=0", "optim.steps"),
        ("data.name=emojis", "did you mean 'emoji'"),
        ("objective.triplets={}", "no loss is named 'triplets'; did you mean 'triplet'"),
        ("objective.triplet.margins=1", "did you mean 'margin'"),
        ("validate.metric=mAP", "leaves its convention open"),
        ("validate.on=unseen", "validate.on"),
        ("steps", "key.key=value"),
        ("seed.x=1", "single value"),
        ("objective=[", "not YAML"),
    ],
)
def test_what_does_not_fit_is_named(override: str, message: str) -> None:
    with pytest.raises(InkseekError) as caught:
        load_recipe("quickdraw-rdvc", [override])
    assert message.lower() in str(caught.value).lower()
    assert "\n" not in str(caught.value)


def test_unknown_recipes_and_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InkseekError, match="did you mean 'quickdraw-rdvc'"):
        load_recipe("quickdraw-rvdc")
    with pytest.raises(InkseekError, match="cannot be read"):
        load_recipe(str(tmp_path / "none.yaml"))
    for content, message in ((b"a: [", "not YAML"), (b"- 1", "mapping"), (b"\xff\xfe\x00", "cannot be read")):
        path = tmp_path / "recipe.yaml"
        path.write_bytes(content)
        with pytest.raises(InkseekError, match=message):
            load_recipe(str(path))


def test_a_recipe_never_constructs_objects(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text("data: !!python/object/apply:os.system [true]\n")
    with pytest.raises(InkseekError, match="not YAML"):
        load_recipe(str(path))


def test_yaml_reads_words_as_words_and_numbers_as_numbers() -> None:
    read = plain_yaml.parse(
        "{on: off, a: yes, b: true, c: 3e-4, d: 1.5, e: 7, f: 1e3, g: .5, h: no, i: v1.2, j: 2024-01-01x}"
    )
    assert read == {
        "on": "off",
        "a": "yes",
        "b": True,
        "c": 3e-4,
        "d": 1.5,
        "e": 7,
        "f": 1000.0,
        "g": 0.5,
        "h": "no",
        "i": "v1.2",
        "j": "2024-01-01x",
    }
