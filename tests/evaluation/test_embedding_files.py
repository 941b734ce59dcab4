"""Embeddings and labels from files of every format, and what is wrong with a file in one line."""

from __future__ import annotations

import io
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inkseek.errors import InkseekError
from inkseek.evaluation.embedding_files import read_embeddings, read_labels

X = np.array([[1.5, -2.0], [0.25, 3e-5], [7.0, 0.0]])
TEXT = ["cat", "owl", "cat"]


def parquet(path: Path, columns: dict[str, Any]) -> str:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(columns), path)
    return str(path)


@pytest.fixture(params=["npy", "npz", "npz of several", "csv", "csv with a header", "parquet", "parquet of lists"])
def sources(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The same embeddings and text labels as files of each format."""
    if request.param == "npy":
        np.save(tmp_path / "x.npy", X)
        np.save(tmp_path / "y.npy", TEXT)
        return str(tmp_path / "x.npy"), str(tmp_path / "y.npy")
    if request.param == "npz":
        np.savez(tmp_path / "x.npz", X)
        np.savez_compressed(tmp_path / "y.npz", anything=TEXT)
        return str(tmp_path / "x.npz"), str(tmp_path / "y.npz")
    if request.param == "npz of several":
        np.savez(tmp_path / "both.npz", x=X, y=TEXT)
        return f"{tmp_path}/both.npz:x", f"{tmp_path}/both.npz:y"
    if request.param == "csv":
        np.savetxt(tmp_path / "x.csv", X, delimiter=",")
        (tmp_path / "y.csv").write_text("\n".join(TEXT))
        return str(tmp_path / "x.csv"), str(tmp_path / "y.csv")
    if request.param == "csv with a header":
        lines = ["a,name,b", *(f"{a!r},{t},{b!r}" for (a, b), t in zip(X.tolist(), TEXT, strict=True))]
        (tmp_path / "both.csv").write_text("\n".join(lines) + "\n\n", encoding="utf-8-sig")
        return f"{tmp_path}/both.csv", f"{tmp_path}/both.csv:name"
    if request.param == "parquet":
        both = parquet(tmp_path / "both.parquet", {"a": X[:, 0], "name": TEXT, "b": X[:, 1]})
        return both, f"{both}:name"
    both = parquet(tmp_path / "both.parquet", {"vector": X.tolist(), "name": TEXT})
    return f"{both}:vector", f"{both}:name"


def test_every_format_gives_the_same(sources: tuple[str, str]) -> None:
    np.testing.assert_array_equal(read_embeddings(sources[0], without=[sources[1]]), X)
    assert read_labels(sources[1]).tolist() == TEXT


@pytest.mark.parametrize("shift", [0, 2**53, -(2**62)])
def test_integer_labels_stay_exact(tmp_path: Path, shift: int) -> None:
    y = np.array([3, 1, 3]) + shift
    np.save(tmp_path / "y.npy", y[:, None])
    (tmp_path / "y.csv").write_text("\n".join(map(str, y)))
    (tmp_path / "z.csv").write_text("label,x\n" + "\n".join(f"{label},1" for label in y))
    found = [read_labels(f"{tmp_path}/{name}") for name in ("y.npy", "y.csv", "z.csv:label")]
    found.append(read_labels(parquet(tmp_path / "y.parquet", {"y": y})))
    for labels in found:
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(labels, y)


def test_half_precision_and_bytes_come_in(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X.astype(np.float16))
    assert read_embeddings(f"{tmp_path}/x.npy").dtype == np.float16
    np.save(tmp_path / "y.npy", np.array(TEXT, dtype="S3"))
    assert read_labels(f"{tmp_path}/y.npy").tolist() == TEXT


class Bomb:
    """Unpickling this would leave a trace."""

    exploded = False

    def __reduce__(self) -> tuple[Any, ...]:
        return setattr, (Bomb, "exploded", True)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    objects = np.array([Bomb()], dtype=object)
    np.save(tmp_path / "x.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "x.npz", objects)
    (tmp_path / "bare.npy").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Bomb()))
    for name in ("x.npy", "x.npz", "bare.npy", "bare.npz"):
        for read in (read_embeddings, read_labels):
            with pytest.raises(InkseekError, match="never loaded: save numbers"):
                read(f"{tmp_path}/{name}")
    assert not Bomb.exploded


def npy(array: npt.ArrayLike) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.npy", npy(X)[:-3], "not a whole .npy file"),
        ("x.npy", b"", "not a whole .npy file"),
        ("x.npy", npy(X).replace(b"(3, 2)", b"(9, 9)"), "not a whole .npy file"),
        ("x.npz", b"PK\x03\x04 torn", "not a whole .npz file"),
        ("x.parquet", b"PAR1 torn PAR1", "not a whole .parquet file"),
        ("x.csv", b"1,2\n3\n", "row 2 has 1 cells, the first 2"),
        ("x.csv", b"1,2\n3,x\n", "not a table of numbers"),
        ("x.csv", b"\xff\xfe\x00", "not a CSV"),
        ("x.csv", b"\n", "holds no row"),
        ("x.npy", npy(np.array(TEXT)), "not a table of numbers"),
        ("x.pkl", b"", "are read from .npy, .npz, .csv, .parquet"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InkseekError, match=message) as caught:
        read_embeddings(f"{tmp_path}/{name}")
    assert name in str(caught.value)


def test_an_array_or_column_is_named_or_the_only_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "both.npz", vectors=X, y=TEXT)
    (tmp_path / "y.csv").write_text("name,size\na,1\nb,2\n")
    with pytest.raises(InkseekError, match=r"several arrays; name one as .*both.npz:vectors \(there are vectors, y\)"):
        read_embeddings(f"{tmp_path}/both.npz")
    with pytest.raises(InkseekError, match="no array 'vector'; did you mean 'vectors'"):
        read_embeddings(f"{tmp_path}/both.npz:vector")
    with pytest.raises(InkseekError, match="no column 'nam'; did you mean 'name'"):
        read_labels(f"{tmp_path}/y.csv:nam")
    with pytest.raises(InkseekError, match=r"labels have shape \(2, 2\)"):
        read_labels(f"{tmp_path}/y.csv")
    with pytest.raises(InkseekError, match=r"missing.npy: cannot be read \(No such file"):
        read_embeddings(f"{tmp_path}/missing.npy")


def test_labels_that_rounding_could_confuse_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.array([1.0, 2.0], dtype=np.float32))
    with pytest.raises(InkseekError, match="labels are float32: give integers or text"):
        read_labels(f"{tmp_path}/y.npy")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InkseekError, match=r"pip install 'inkseek\[parquet\]'"):
        read_embeddings(f"{tmp_path}/x.parquet")
