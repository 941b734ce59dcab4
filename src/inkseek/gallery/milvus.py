"""A gallery in Milvus, where the collections are the truth: in this process (Milvus Lite) or in a cluster."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from inkseek.errors import InkseekError
from inkseek.gallery.backend import Finder, Records
from inkseek.gallery.milvus_store import MilvusStore

IndexKind = Literal["FLAT", "HNSW", "IVF_FLAT"]
"""Exact search, a graph, or lists of neighbours; quantised ones lose what is alike across domains."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")


@dataclass(frozen=True)
class MilvusCollection:
    """Where a gallery is in Milvus, there or not yet.

    Attributes:
        uri: a local path that ends in `.db` for Milvus Lite, or a server's address such as `http://milvus:19530`.
        collection: names the gallery among others in the same Milvus.
        token: `user:password` or an API key; never shown.
        index: how a gallery that is made here is searched; None for FLAT, and for whatever one that is there has.

    Raises:
        InkseekError: the address, the name or the index is not one.
    """

    uri: str
    collection: str = "inkseek"
    token: str = ""
    index: IndexKind | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.collection):
            raise InkseekError(
                f"{self.collection!r} is no name for a collection; take letters, digits and _, with no digit first"
            )
        if self.index not in (None, *get_args(IndexKind)):
            raise InkseekError(f"no index {self.index}; there are {', '.join(get_args(IndexKind))}")
        if self.file is None:
            if "@" in urlsplit(self.uri).netloc:
                raise InkseekError("leave user and password out of the address; INKSEEK_MILVUS_TOKEN=user:password")
        elif not self.uri.endswith(".db"):
            raise InkseekError(
                f"{self.uri}: a local Milvus is a path that ends in .db, a server is an address such as "
                "http://localhost:19530"
            )

    @property
    def file(self) -> Path | None:
        """Where Milvus Lite keeps it; None for a server."""
        return None if "://" in self.uri else Path(self.uri).expanduser().absolute()

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.uri if self.collection == "inkseek" else f"{self.uri} ({self.collection})"

    @property
    def options(self) -> str:
        """What names it on the command line."""
        named = "" if self.collection == "inkseek" else f" --collection {self.collection}"
        return f"--backend milvus --uri {shlex.quote(self.uri)}{named}"

    def open(self, *, create: bool) -> tuple[Records, Finder] | None:
        """Connect; without `create`, None when there is no such gallery yet.

        Raises:
            InkseekError: the extra is not installed, no answer, no entry, another process has the local Milvus open, or
                a newer Inkseek made the gallery.
        """
        if self.file is not None:
            if not create and not self.file.exists():
                return None
            if self.file.is_file():
                raise InkseekError(f"{self.uri} is a file and not a local Milvus, which is a folder; name another one")
            if not self.file.parent.is_dir():
                raise InkseekError(f"the folder {self.file.parent} for the gallery does not exist; make it first")
        store = MilvusStore(self)
        if not create and not store.is_made:
            store.close()
            return None
        return store, store
