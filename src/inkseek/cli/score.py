"""`inkseek score`: anybody's embeddings to every metric."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer


def score(
    queries: Annotated[str | None, typer.Option(help="The queries' embeddings.")] = None,
    query_labels: Annotated[str | None, typer.Option(help="The queries' labels.")] = None,
    gallery: Annotated[str | None, typer.Option(help="The gallery's embeddings.")] = None,
    gallery_labels: Annotated[str | None, typer.Option(help="The gallery's labels.")] = None,
    embeddings: Annotated[str | None, typer.Option(help="One domain: every item looks for its like.")] = None,
    labels: Annotated[str | None, typer.Option(help="One domain: its labels.")] = None,
    query_instances: Annotated[str | None, typer.Option(help="Which item a query is of, for Acc@K.")] = None,
    gallery_instances: Annotated[str | None, typer.Option(help="Which item a gallery item is, for Acc@K.")] = None,
    metrics: Annotated[
        list[str] | None, typer.Option(help="Names, several apart by commas; the field's tables' when left out.")
    ] = None,
    ties: Annotated[
        Literal["expected", "pessimistic", "optimistic"], typer.Option(help="What items of equal score count as.")
    ] = "expected",
    similarity: Annotated[
        Literal["cosine", "dot", "euclidean"], typer.Option(help="What orders the gallery.")
    ] = "cosine",
    name: Annotated[str, typer.Option(help="The model's name in the output.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON, each query's figures too.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="Append a row to this CSV of results.")] = None,
) -> None:
    r"""Measure the embeddings of any model, in every convention of the field.

    Files are .npy, .npz, .csv or .parquet; FILE:NAME is one array or column of several. Labels are integers or text.
    In one domain every item is a query, and never meets itself.

    \b
    Examples:
      inkseek score --queries q.npy --query-labels ql.npy --gallery g.npy --gallery-labels gl.npy
      inkseek score --embeddings cub.npz:embeddings --labels cub.npz:labels
      inkseek score --embeddings e.npy --labels names.csv --metrics R@1,mAP@R,NMI --json > mine.json
      inkseek score --embeddings cars.parquet:vector --labels cars.parquet:class --similarity euclidean
    """
    from inkseek.errors import InkseekError
    from inkseek.evaluation.embedding_files import read_embeddings, read_labels
    from inkseek.evaluation.score import score as measure

    two = {
        "--queries": queries,
        "--query-labels": query_labels,
        "--gallery": gallery,
        "--gallery-labels": gallery_labels,
    }
    one = {"--embeddings": embeddings, "--labels": labels}
    sides, others = (one, two) if embeddings is not None or labels is not None else (two, one)
    if missing := [option for option, value in sides.items() if value is None]:
        raise InkseekError(f"{', '.join(missing)} missing: give {', '.join(two)}, or {', '.join(one)} of one domain")
    if given := [option for option, value in others.items() if value is not None]:
        raise InkseekError(f"{given[0]} and {next(iter(sides))} exclude each other: measure two domains, or one")
    sources = [value for value in sides.values() if value is not None]
    arrays = [
        read_embeddings(source, without=sources[1::2]) if nth % 2 == 0 else read_labels(source)
        for nth, source in enumerate(sources)
    ]
    wanted = None if metrics is None else [part.strip() for given in metrics for part in given.split(",")]
    results = measure(
        *arrays,
        query_instances=None if query_instances is None else read_labels(query_instances),
        gallery_instances=None if gallery_instances is None else read_labels(gallery_instances),
        metrics=wanted,
        ties=ties,
        similarity=similarity,
        model=name or sources[0],
    )
    typer.echo(results.to_json() if as_json else str(results))
    if csv is not None:
        results.to_csv(csv, command=shlex.join(["inkseek", *sys.argv[1:]]), recipe=results.model, seed="")
        sys.stderr.write(f"a row was added to {csv}\n")
