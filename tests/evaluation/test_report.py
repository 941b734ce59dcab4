"""The report as a reader gets it: one file, right and wrong marked by more than colour, foreign names harmless."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inkseek.datasets.items import Items
from inkseek.datasets.protocol import Protocol
from inkseek.errors import InkseekError
from inkseek.evaluation.evaluate import Evaluation, evaluate_embeddings
from inkseek.evaluation.plots import density
from inkseek.evaluation.report import write_report
from inkseek.evaluation.retrieval_grid import choose, retrieval_grid
from inkseek.images.preprocessing import Domain

NASTY = "<script>alert('x')</script> & $x$ friends"
CLASSES = ("disc", "box", NASTY)
EACH = 6

LOG = [
    {"step": step, "loss": 1 / step, "triplet": 0.5 / step, "D mean": -0.1, "D variance": 0.02, "lr": 1e-3}
    for step in range(1, 41)
] + [{"step": step, "validation mAP@all": 0.2 + step / 100} for step in (10, 20, 30, 40)]


def items(folder: Path, domain: Domain) -> Items:
    rows = []
    for label, name in enumerate(CLASSES):
        for nth in range(EACH):
            path = folder / f"{domain}-{label}-{nth}.png"
            picture = Image.new("RGB", (90, 60), "white" if domain == "sketch" else (40 * nth, 90 * label, 120))
            ImageDraw.Draw(picture).ellipse((10 + 3 * nth, 10, 50, 50), outline="black", width=3)
            picture.save(path)
            rows.append((path, name, domain, str(nth), "drawn"))
    return Items.from_rows(rows, CLASSES)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evaluation, Evaluation]:
    """Two models: one that knows next to nothing, one that knows the classes well and the instances a little."""
    folder = tmp_path_factory.mktemp("pictures")
    queries, gallery = items(folder, "sketch"), items(folder, "photo")
    rng = np.random.default_rng(0)
    of_class, of_instance = rng.normal(size=(3, 16)), rng.normal(size=(3 * EACH, 16))

    def embed(of: Items, knows: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        known = of_class[of.labels] + 0.7 * of_instance[of.instances]
        x = knows * known + rng.normal(size=(len(of), 16))
        return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), dtype=np.float32)

    before, after = (
        evaluate_embeddings(
            embed(queries, knows), embed(gallery, knows), Protocol("toy/unseen", queries, gallery), model=name
        )
        for name, knows in (("frozen", 0.1), ("trained", 1.0))
    )
    return before, after


@pytest.fixture(scope="module")
def page(stages: tuple[Evaluation, Evaluation], tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "run" / "report.html"
    before, after = stages
    write_report(
        path,
        title="Toy & friends",
        before=before,
        after=after,
        log=LOG,
        attribution="Drawn here, CC0.",
        recipe="seed: 0\n",
    )
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Collects what a browser would fetch or run, the text, and the hits."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "srcset", "action", "data")]
        if tag == "img":
            self.pictures.append(values)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_asks_for_nothing(page: str) -> None:
    reader = Reader(page)
    assert reader.pictures
    assert all(link.startswith(("data:image/webp;base64,", "#")) for link in reader.links)
    assert not re.findall(r"url\((?!#)", page)
    assert "@import" not in page
    assert not {"script", "link", "iframe"} & set(reader.tags)


def test_a_class_name_cannot_become_markup(page: str) -> None:
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert any(NASTY in words for words in Reader(page).words)


def test_every_metric_stands_with_its_convention(page: str, stages: tuple[Evaluation, Evaluation]) -> None:
    text = " ".join("".join(Reader(page).words).split())
    for name, value in stages[1].results.metrics.items():
        assert f"{name}" in text
        assert f"{value:.4f}" in text
        assert f"{stages[0].results.metrics[name]:.4f}" in text
    assert "divided by min(R, 200)" in text
    for part in ("Toy & friends", "toy/unseen", "Drawn here, CC0.", "seed: 0", "at random (seed 0)"):
        assert part in text


def test_plots_are_inline_labelled_and_follow_the_page(page: str) -> None:
    assert page.count("<svg") == 6 + 2  # six logged figures, densities, bars
    assert "validation mAP@all, best 0.600 at step 40" in page
    assert "relative distance D = d(a,p) - d(a,n), cosine distance" in page
    assert page.count("variance 0.") == 2
    assert "mAP@all, mean over the class" in page
    for variable in ("--ink", "--before", "--after"):
        assert f"var({variable})" in page
    assert "prefers-color-scheme: dark" in page


def test_hits_are_marked_by_more_than_colour(page: str, stages: tuple[Evaluation, Evaluation]) -> None:
    rows = retrieval_grid([("before", stages[0]), ("after", stages[1])], "mAP@all")
    hits = [hit for row in rows for _, _, ranking in row.rankings for hit in ranking]
    assert any(h.right for h in hits)
    assert any(not h.right for h in hits)
    assert any(h.own for h in hits)
    alts = [p["alt"] or "" for p in Reader(page).pictures]
    assert sum(alt.startswith("right: ") for alt in alts) == sum(h.right for h in hits)
    assert sum(alt.startswith("wrong: ") for alt in alts) == sum(not h.right for h in hits)
    assert page.count('<i aria-hidden="true">✕</i>') == sum(not h.right for h in hits)
    assert page.count('<i aria-hidden="true">★</i>') == sum(h.own for h in hits)
    assert page.count('<li class="right">') == sum(h.right for h in hits)


def test_the_grid_shows_the_nearest_first_and_before_above_after(stages: tuple[Evaluation, Evaluation]) -> None:
    before, after = stages
    rows = retrieval_grid([("before", before), ("after", after)], "mAP@all", top=3)
    chosen = choose(after.results.per_query["mAP@all"], after.queries.labels, each=4, seed=0)
    assert [row.why for row in rows] == [why for why, _ in chosen]
    for row, (_, q) in zip(rows, chosen, strict=True):
        assert [title for title, *_ in row.rankings] == ["before", "after"]
        for stage, (_, figure, hits) in zip(stages, row.rankings, strict=True):
            assert figure == stage.results.per_query["mAP@all"][q]
            nearest = np.argsort(-(stage.gallery_embeddings @ stage.query_embeddings[q]))[:3]
            assert [hit.name for hit in hits] == [CLASSES[label] for label in stage.gallery.labels[nearest]]


def test_a_thumbnail_is_the_picture_made_small(stages: tuple[Evaluation, Evaluation]) -> None:
    row = retrieval_grid([("after", stages[1])], "mAP@all")[0]
    decoded = Image.open(io.BytesIO(base64.b64decode(row.picture.partition(",")[2])))
    assert decoded.size == (90, 60)


def test_the_choice_of_queries_is_fixed_and_says_why() -> None:
    figures = np.array([0.9, 0.8, 0.7, np.nan, 0.1, 0.2, 0.5, 0.5, 0.5, 0.5])
    labels = np.array([0, 0, 1, 1, 2, 0, 1, 2, 1, 0])
    chosen = choose(figures, labels, each=2, seed=0)
    assert chosen == choose(figures, labels, each=2, seed=0)
    assert chosen[:4] == [("best", 0), ("best", 2), ("worst", 4), ("worst", 5)]  # 1 is of the class of 0
    assert [why for why, _ in chosen[4:]] == ["random", "random"]
    assert len({q for _, q in chosen}) == 6
    assert 3 not in {q for _, q in chosen}
    assert chosen[4:] != choose(figures, labels, each=2, seed=1)[4:]


def test_few_queries_are_shown_once() -> None:
    assert choose(np.array([0.5]), np.array([0]), each=4, seed=0) == [("best", 0)]


def test_a_density_holds_everything_once() -> None:
    rng = np.random.default_rng(0)
    x, y = density(rng.normal(0.1, 0.2, 50_000), -1.0, 1.0)
    assert y.sum() * (x[1] - x[0]) == pytest.approx(1, abs=0.01)
    assert x[y.argmax()] == pytest.approx(0.1, abs=0.03)
    assert y.max() == pytest.approx(1 / (0.2 * np.sqrt(2 * np.pi)), rel=0.05)


def test_without_a_baseline_log_or_recipe(stages: tuple[Evaluation, Evaluation], tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", title="after alone", before=None, after=stages[1], log=[])
    text = " ".join("".join(Reader((tmp_path / "r.html").read_text(encoding="utf-8")).words).split())
    assert "before" not in re.sub(r"\{[^}]*\}", "", text.partition("Protocol")[2])
    assert "Training" not in text
    assert "Recipe" not in text


def test_a_collapsed_model_still_gets_its_report(stages: tuple[Evaluation, Evaluation], tmp_path: Path) -> None:
    x = np.full((len(stages[0].queries), 4), 0.5, dtype=np.float32)
    collapsed = evaluate_embeddings(x, x, stages[0].protocol, model="collapsed")
    write_report(tmp_path / "r.html", title="collapse", before=stages[0], after=collapsed, log=LOG[:1])
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "ties leave open" in text
    assert "mAP@all (VOC) optimistic" in text


def test_models_measured_on_other_items_are_not_compared(stages: tuple[Evaluation, Evaluation], tmp_path: Path) -> None:
    before, after = stages
    fewer = replace(before.protocol, queries=before.queries.pick(np.arange(3)))
    other = replace(before, protocol=fewer)
    with pytest.raises(InkseekError, match="one protocol"):
        write_report(tmp_path / "r.html", title="", before=other, after=after, log=[])
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_said(stages: tuple[Evaluation, Evaluation], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InkseekError, match="the report cannot be written"):
        write_report(tmp_path / "file" / "r.html", title="", before=None, after=stages[1], log=[])
