"""A recipe is checked whole before anything else happens, and says in one line what does not fit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inkseek.errors import InkseekError
from inkseek.training import plain_yaml
from inkseek.training.recipe import load_recipe, shipped_recipes
from inkseek.training.rehearsal import rehearse

REPOSITORY = Path(__file__).resolve().parents[2]


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
        ("batch={classes: 4, sketches: 2}", "the keys classes, sketches make no batch; there are: classes, sketches"),
        ("batch={}", "the keys (none) make no batch"),
        ("batch.pairs=3", "the keys classes, sketches, photos, pairs make no batch"),
        ("batch.anchor=both", "unknown key 'batch.anchor'; did you mean 'anchors'"),
        ("optim.schedule=milestones", "milestones and schedule: milestones go together"),
        ("optim.milestones=[3]", "milestones and schedule: milestones go together"),
        ("optim.warmup=300", "warmup (300) must be shorter than steps (300)"),
        ("optim.schedule=cosin", "optim.schedule: input should be 'cosine', 'constant' or 'milestones'"),
        ("data.resize=64", "data: resize (64) must be at least image_size (128), the crop"),
        ("device=gpu", "device: input should be 'auto', 'cpu' or 'cuda'"),
        ("track=wandbb", "track: input should be 'aim', 'clearml'"),
        ("extends=emoji-rdvc", "unknown key 'extends'"),
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


def write(folder: Path, **recipes: str) -> None:
    for name, text in recipes.items():
        (folder / f"{name}.yaml").write_text(text)


def test_a_recipe_extends_another_section_by_section(tmp_path: Path) -> None:
    write(
        tmp_path,
        one="extends: quickdraw-rdvc\noptim: {lr: {head: 0.5}}\nseed: 7\n",
        two="extends: one.yaml\nbatch: {classes: 4, pairs: 2}\nobjective: {triplet: {margin: 2}}\n",
    )
    base, one, two = (
        load_recipe(name) for name in ("quickdraw-rdvc", *(str(tmp_path / f"{n}.yaml") for n in ("one", "two")))
    )
    assert (one.optim.lr.head, one.optim.lr.backbone, one.seed) == (0.5, base.optim.lr.backbone, 7)
    assert (one.batch, one.objective) == (base.batch, base.objective)
    assert two.optim == one.optim
    assert two.batch.kind == ("classes", "pairs")
    assert two.objective == {"triplet": {"margin": 2}}
    assert load_recipe(str(tmp_path / "two.yaml"), ["optim.lr.head=1"]).optim.lr.head == 1
    assert "extends" not in two.to_yaml()


@pytest.mark.parametrize(
    ("extends", "message"),
    [
        ("b.yaml", "in a circle: .*a.yaml -> .*b.yaml -> .*a.yaml"),
        ("quickdraw-rvdc", "extends: no recipe is named 'quickdraw-rvdc'; did you mean 'quickdraw-rdvc'"),
        ("none.yaml", r"none\.yaml: the recipe cannot be read"),
        ("[a, b]", "extends names one recipe"),
    ],
)
def test_what_cannot_be_extended_is_named(extends: str, message: str, tmp_path: Path) -> None:
    write(tmp_path, a=f"extends: {extends}\n", b="extends: a.yaml\n")
    with pytest.raises(InkseekError, match=message):
        load_recipe(str(tmp_path / "a.yaml"))


# RDVC's Table 6 and SEC's constants: P x K, weight of RDVC without and with SEC, weight of SEC, rates of head and
# backbone, milestones and factor.
TABLE_6 = {
    ("cub", "triplet"): ((40, 3), 2.0, 0.5, 1.0, (5e-6, 2.5e-6), (5000,), 0.1),
    ("cub", "semi-hard"): ((40, 3), 4e-5, 4e-5, 0.5, (5e-6, 2.5e-6), (5000,), 0.1),
    ("cub", "n-pair"): ((60, 2), 2e-4, 2e-4, 1.0, (1e-5, 5e-6), (5000,), 0.1),
    ("cub", "multi-similarity"): ((24, 5), 0.5, 1.0, 0.5, (5e-5, 2.5e-5), (3000, 6000), 0.1),
    ("cars", "triplet"): ((40, 3), 2.0, 0.25, 0.5, (1.5e-5, 1e-5), (4000, 6000), 0.5),
    ("cars", "semi-hard"): ((40, 3), 4e-5, 1e-4, 0.5, (1.5e-5, 1e-5), (4000, 6000), 0.5),
    ("cars", "n-pair"): ((60, 2), 2e-4, 5e-5, 1.0, (1e-5, 1e-5), (4000, 6000), 0.5),
    ("cars", "multi-similarity"): ((24, 5), 0.5, 1.0, 1.0, (4e-5, 4e-5), (2000,), 0.1),
}
# Multi-similarity without SEC has rates of its own in SEC's code.
BARE = {"cub": (1e-5, 5e-6), "cars": (2e-5, 2e-5)}


@pytest.mark.parametrize(("data", "loss"), TABLE_6)
@pytest.mark.parametrize("sec", [False, True])
@pytest.mark.parametrize("rdvc", [False, True])
def test_the_rows_of_table_1_have_the_papers_constants(data: str, loss: str, sec: bool, rdvc: bool) -> None:
    (classes, photos), alone, beside_sec, eta, rates, milestones, factor = TABLE_6[data, loss]
    recipe = load_recipe(f"table1/{data}-{loss}{'-sec' if sec else ''}{'-rdvc' if rdvc else ''}")
    bare = loss == "multi-similarity" and not sec
    assert recipe.data.name == {"cub": "cub-200-2011", "cars": "cars196"}[data]
    assert (recipe.data.resize, recipe.data.image_size, recipe.augment.scale) == (256, 227, 0.4)
    assert recipe.batch.model_dump(exclude_none=True)["classes"] == classes
    assert (recipe.batch.kind, recipe.batch.photos) == (("classes", "photos"), photos)
    assert (recipe.optim.lr.head, recipe.optim.lr.backbone) == (BARE[data] if bare else rates)
    assert (recipe.optim.milestones, recipe.optim.factor, recipe.optim.steps) == (milestones, factor, 8000)
    assert (recipe.optim.name, recipe.optim.weight_decay, recipe.optim.no_decay) == ("adam", 2.5e-3, "norms")
    assert recipe.model.head_batchnorm is not bare
    terms = dict(recipe.objective)
    expected = {"weight": beside_sec if sec else alone}
    if loss in ("semi-hard", "n-pair"):
        expected["reduction"] = "sum"  # type: ignore[assignment]
    assert terms.pop("rdvc", None) == (expected if rdvc else None)
    assert terms.pop("sec", None) == ({"weight": eta} if sec else None)
    (base,) = terms
    assert base == {"semi-hard": "semi_hard_triplet"}.get(loss, loss.replace("-", "_"))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "root", "more"),
    [
        ("quickdraw-rdvc", "quickdraw_photo", []),
        ("flowers-rdvc", "flowers-102", []),
        ("table1/cub-triplet-sec-rdvc", "CUB_10cls/CUB_200_2011", ["batch.classes=4"]),
        ("table1/cub-multi-similarity-sec-rdvc", "CUB_10cls/CUB_200_2011", ["batch.classes=4"]),
        ("table1/cub-n-pair-rdvc", "CUB_10cls/CUB_200_2011", ["batch.classes=4"]),
        ("table3/inception-v3", "Sketchy_5cls", ["batch.classes=2", "validate.on=none"]),
        ("table4/random", "Sketchy_5cls", ["batch.pairs=8", "validate.on=none"]),
    ],
)
def test_recipes_whose_data_are_here_take_their_first_steps(
    name: str, root: str, more: list[str], pictures: Path
) -> None:
    """With the packaged backbone, at a tiny size: the recipe's data, batch, objective and rates are its own."""
    tiny = ["data.image_size=32", "data.resize=40", "model.backbone=tf_efficientnet_lite0", "workers=0", "threads=1"]
    rehearsal = rehearse(load_recipe(name, [f"data.root={pictures / root}", *tiny, *more]), name)
    assert rehearsal.measured == 3
    assert rehearsal.plan.trained_parameters > 0


@pytest.mark.parametrize(("name", "number"), [("training.md", 2), ("ramln.md", 1)])
def test_recipes_in_the_docs_are_recipes(name: str, number: int, tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == number
    for block in blocks:
        (tmp_path / "recipe.yaml").write_text(block)
        load_recipe(str(tmp_path / "recipe.yaml"))
    for known in re.findall(r"`((?:table\d/)?[\w-]+-rdvc|ramln-[\w-]+)`", page):
        load_recipe(known)


QUADRUPLET = "objective={quadruplet: {smooth: softplus, margin: {kind: relation, memory: class}}}"


def test_a_learned_margin_and_how_it_learns() -> None:
    recipe = load_recipe("emoji-rdvc", [QUADRUPLET, "meta={every: 2}"])
    assert recipe.meta is not None
    assert (recipe.meta.every, recipe.meta.held_out) == (2, 0.25)
    assert load_recipe("emoji-rdvc", [QUADRUPLET]).meta is None
    assert load_recipe("ramln-emoji-fixed").meta is None


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["objective={quadruplet: {margin: {kind: relation}}}", "meta={}"], "smooth: softplus"),
        (["objective={quadruplet: {smooth: softplus}}", "meta={}"], "exactly one term needs a margin"),
        ([QUADRUPLET, "meta={innerrate: 2}"], "unknown key 'meta.innerrate'; did you mean 'inner_rate'"),
        ([QUADRUPLET, "meta={held_out: 1}"], "meta.held_out: "),
        (["objective={quadruplet: {margin: {kind: relation, memory: {kind: lrua, slot: 3}}}}"], "slot"),
    ],
)
def test_a_margin_that_cannot_be_learned_is_one_clear_line(overrides: list[str], said: str) -> None:
    with pytest.raises(InkseekError) as error:
        load_recipe("emoji-rdvc", overrides)
    assert said in str(error.value)
    assert str(error.value).startswith("emoji-rdvc.yaml: ")
    assert "\n" not in str(error.value)
