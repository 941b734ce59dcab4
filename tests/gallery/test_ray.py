"""Ray Data: what one process indexes, several do, whatever becomes of them. Real Ray, two CPUs; real Milvus Lite."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inkseek.errors import InkseekError
from inkseek.gallery.milvus import MilvusCollection
from inkseek.gallery.ray_engine import RayEngine, cluster
from inkseek.gallery.search import Gallery, open_gallery
from inkseek.gallery.sources import Columns, absolute, address_of
from inkseek.models.bundle import Model

Draw = Callable[[Path, int], list[Path]]
# Not imported here: it is the engine that has to keep Ray on loopback.
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there"),
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra `ray`"),
    pytest.mark.skipif(find_spec("milvus_lite") is None, reason="needs the extra `milvus`"),
]


@pytest.fixture(scope="module", autouse=True)
def ray() -> Iterator[Any]:
    os.environ |= {"RAY_worker_niceness": "0"}  # or other processes of this machine come first
    with cluster(cpus=2, object_store=200 << 20) as ray:
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import it
        yield ray


class Doomed(Model):
    """A model whose process is killed while it embeds its second batch, once; each process says that it was there."""

    home: Path
    batches = 0

    def embed_pixels(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        (self.home / f"was-{os.getpid()}").touch()
        self.batches += 1
        if self.batches == 2:
            try:
                (self.home / "killed").open("x").close()
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().embed_pixels(pixels)


def content(gallery: Gallery) -> dict[Path, tuple[object, ...]]:
    store = gallery.store
    return {
        p.path: (p.stamp, p.sha256, p.width, p.height, store.thumbnail(p.id))
        for p in store.pictures(store.ids().tolist())
    }


def vectors(gallery: Gallery) -> npt.NDArray[np.float32]:
    ids, rows = gallery.store.vectors()
    paths = [picture.path for picture in gallery.store.pictures(ids.tolist())]
    return rows[np.argsort([str(path) for path in paths])]


def test_a_killed_worker_changes_nothing(tmp_path: Path, draw: Draw, frozen_model: Model) -> None:
    folder, marks = tmp_path / "pictures", tmp_path / "marks"
    marks.mkdir()
    draw(folder, 40)
    (folder / "copy.png").write_bytes((folder / "circle-0.png").read_bytes())
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff no picture")
    straight = open_gallery(tmp_path / "straight.db")
    straight.add(folder, frozen_model)
    doomed = Doomed(frozen_model.embedder, frozen_model.card, frozen_model.path)
    doomed.home = marks
    with closing(open_gallery(MilvusCollection(str(tmp_path / "g.db")))) as gallery:
        seen: list[tuple[int, int]] = []
        report = gallery.add(
            folder, doomed, batch_size=4, engine=RayEngine(workers=2), progress=lambda *at: seen.append(at)
        )
        assert (marks / "killed").exists()
        assert len(list(marks.glob("was-*"))) >= 3  # two, and the one that came for the killed one
        assert (report.found, report.embedded, report.removed) == (42, 41, 0)
        assert [file.path.name for file in report.unreadable] == ["torn.jpg"]
        assert (seen[0], seen[-1]) == ((0, 42), (42, 42))
        assert content(gallery) == content(straight)
        np.testing.assert_allclose(vectors(gallery), vectors(straight), atol=1e-5)

        (folder / "torn.jpg").unlink()
        again = gallery.add(folder, engine=RayEngine(workers=2))
        assert (again.embedded, again.reused, again.unchanged, again.removed) == (0, 0, 41, 0)
        assert len(gallery) == 41
        (folder / "copy.png").rename(folder / "moved.png")
        (folder / "circle-0.png").unlink()
        third = gallery.add(folder, engine=RayEngine(workers=1))
        assert (third.embedded, third.reused, third.removed) == (0, 1, 2)
        assert content(gallery).keys() == content(straight).keys() - {
            folder / "copy.png",
            folder / "circle-0.png",
        } | {folder / "moved.png"}


def test_parquet(tmp_path: Path, draw: Draw, frozen_model: Model) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    paths = draw(tmp_path / "pictures", 8)
    files = [path.read_bytes() for path in paths]
    names = [f"shapes/{path.stem}" for path in paths]
    source = tmp_path / "archive"
    source.mkdir()
    plain = pa.table({"key": [*names[:4], "../../etc/passwd", "torn", "null"], "png": [*files[:5], b"torn", None]})
    parquet.write_table(plain, source / "a.parquet", row_group_size=3)
    structs = [{"bytes": file, "path": "x.png"} for file in files[4:]]
    parquet.write_table(pa.table({"png": structs, "key": names[4:], "label": [1, 2, 3, 4]}), source / "b.parquet")
    ours, straight = open_gallery(tmp_path / "g.db"), open_gallery(tmp_path / "straight.db")
    engine = RayEngine(workers=1, columns=Columns("key", "png"))
    report = ours.add(source, frozen_model, engine=engine, batch_size=2)
    assert (report.found, report.embedded) == (11, 8)
    assert sorted(file.path.name for file in report.unreadable)[1:] == ["null", "torn"]
    assert "not a name" in sorted(file.path.name for file in report.unreadable)[0]
    assert {picture.relative_to(source) for picture in content(ours)} == {Path(name) for name in names}
    straight.add(tmp_path / "pictures", frozen_model)
    np.testing.assert_allclose(vectors(ours), vectors(straight), atol=1e-5)

    again = ours.add(source, engine=engine)
    assert (again.embedded, again.reused, again.unchanged, again.removed) == (0, 0, 8, 0)
    parquet.write_table(plain.slice(0, 2), source / "a.parquet")
    os.utime(source / "a.parquet", ns=(1, 1))
    assert (ours.add(source, engine=engine).removed, len(ours)) == (2, 6)

    with pytest.raises(InkseekError, match="no column jpg; there are key, png"):
        ours.add(source, engine=RayEngine(workers=1, columns=Columns("key", "jpg")))
    tensor = pa.ExtensionArray.from_storage(pa.opaque(pa.binary(), "t", "v"), pa.array([b"x"]))
    parquet.write_table(pa.table({"key": ["k"], "png": tensor}), source / "c.parquet")
    with pytest.raises(InkseekError, match="extension types"):
        ours.add(source, engine=engine)


def test_an_address(tmp_path: Path, draw: Draw, frozen_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsspec's `local://` stands for the object stores: listed and read through a file system's interface."""
    monkeypatch.chdir("/")
    draw(tmp_path / "two words" / "sub", 5)
    (tmp_path / "two words" / ".hidden.png").write_bytes(b"")
    (tmp_path / "two words" / "torn.png").write_bytes(b"torn")
    address = f"local:/{tmp_path}/two words"
    gallery, straight = open_gallery(tmp_path / "g.db"), open_gallery(tmp_path / "straight.db")
    with pytest.raises(InkseekError, match="--engine ray"):
        gallery.add(address, frozen_model)
    engine = RayEngine(workers=1)
    report = gallery.add(address, frozen_model, engine=engine)
    assert (report.found, report.embedded, len(report.unreadable)) == (6, 5, 1)
    straight.add(tmp_path / "two words", frozen_model)
    np.testing.assert_allclose(vectors(gallery), vectors(straight), atol=1e-5)
    assert {address_of(path) for path in content(gallery)} == {f"local:/{path}" for path in content(straight)}
    assert gallery.add(address, engine=engine).unchanged == 5
    next((tmp_path / "two words" / "sub").iterdir()).unlink()
    assert gallery.add(address, engine=engine).removed == 1
    with pytest.raises(InkseekError, match="cannot be listed"):
        gallery.add(f"local:/{tmp_path}/none", engine=engine)
    with pytest.raises(InkseekError, match="cannot be reached"):
        gallery.add("nonsense://bucket/key", engine=engine)


def test_addresses_are_paths() -> None:
    assert address_of(absolute("s3://bucket/a//b c")) == "s3://bucket/a/b c"
    assert absolute("file:///tmp/../x") == Path("/x")
    assert address_of(Path("/s3:/x")) == "/s3:/x"


def test_nothing_listens_beyond_this_machine(ray: Any) -> None:
    assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}
