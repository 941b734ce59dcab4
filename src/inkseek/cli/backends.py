"""The options that several commands have about a gallery: where it is, and what embeds its pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from inkseek.gallery.backend import Place

Backend = Literal["sqlite", "milvus"]
IndexKind = Literal["FLAT", "HNSW", "IVF_FLAT"]

BackendOption = Annotated[
    Backend, typer.Option(help="What keeps the gallery: a SQLite file, or Milvus (in this process or a cluster).")
]
UriOption = Annotated[
    str | None,
    typer.Option(help="With milvus: a local path that ends in .db, or a server's address, http://HOST:19530."),
]
CollectionOption = Annotated[str | None, typer.Option(help="With milvus: the gallery's name there.")]
IndexOption = Annotated[
    IndexKind | None,
    typer.Option("--index", help="With milvus, when the gallery is made: exact search, a graph, or lists."),
]

Runtime = Literal["torch", "onnx"]
RuntimeOption = Annotated[
    Runtime, typer.Option(help="What embeds pictures; onnx exports the model when it first meets it, and checks it.")
]


def place(
    gallery: Path,
    backend: Backend,
    uri: str | None,
    collection: str | None,
    index: IndexKind | None = None,
) -> Place:
    """Return the place that the options name; a server's token comes from the environment, out of others' sight.

    Raises:
        InkseekError: they do not go together.
    """
    from inkseek.errors import InkseekError
    from inkseek.gallery.milvus import MilvusCollection
    from inkseek.gallery.sqlite import SqliteFile

    if backend == "milvus":
        if uri is None:
            raise InkseekError("--backend milvus needs --uri: a local path that ends in .db, or http://HOST:19530")
        return MilvusCollection(uri, collection or "inkseek", os.environ.get("INKSEEK_MILVUS_TOKEN", ""), index)
    for option, given in (("--uri", uri), ("--collection", collection), ("--index", index)):
        if given is not None:
            raise InkseekError(f"{option} is for Milvus; give --backend milvus too")
    return SqliteFile(gallery.expanduser())
