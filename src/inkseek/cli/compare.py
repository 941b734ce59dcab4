"""`inkseek compare`: whether models differ, by the results that they left."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    files: Annotated[
        list[Path], typer.Argument(help="Results, as --json prints them: two or more.", metavar="FILE...")
    ],
    metrics: Annotated[
        list[str] | None, typer.Option(help="Names, several apart by commas; all when left out.")
    ] = None,
    level: Annotated[float, typer.Option(help="Confidence of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    r"""Compare results on the same protocol, every two of them.

    Differences are paired over the classes: their mean with a bootstrap interval, the paired t-test, Wilcoxon's
    signed-rank test, both corrected by Holm over the comparisons of a metric, and Cohen's d of paired samples.

    \b
    Examples:
      inkseek evaluate runs/rdvc --json > rdvc.json
      inkseek evaluate runs/triplet --json > triplet.json
      inkseek compare rdvc.json triplet.json --metrics "mAP@all,P@100"
    """
    import json
    from dataclasses import asdict

    from inkseek.errors import InkseekError
    from inkseek.evaluation.comparison import compare as compare_results
    from inkseek.evaluation.results import Results

    results = []
    for file in files:
        try:
            results.append(Results.from_json(file.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            raise InkseekError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
        except InkseekError as error:
            raise InkseekError(f"{file}: {error}") from None
    wanted = None if metrics is None else [part.strip() for given in metrics for part in given.split(",")]
    found = compare_results(results, wanted, level=level, seed=seed)
    if as_json:
        named = [{**asdict(c), "first": str(files[c.first]), "second": str(files[c.second])} for c in found]
        # Equal classes with a constant gap have an infinite effect, which JSON cannot hold.
        typer.echo(json.dumps(json.loads(json.dumps(named), parse_constant=str), indent=1))
        return
    letters = [chr(ord("A") + nth) if nth < 26 else str(nth + 1) for nth in range(len(files))]
    lines = [f"{results[0].protocol}   {found[0].paired.count} classes, {len(results[0].labels)} queries"]
    lines += [f"{of}  {file}   model {r.model}" for of, file, r in zip(letters, files, results, strict=True)]
    rows = [["metric", "pair", "macro", "", "difference", f"{100 * level:g} % interval", "t p", "Wilcoxon p", "d"]]
    for c in found:
        pair, (x, y), (low, high) = f"{letters[c.first]} - {letters[c.second]}", c.class_means, c.interval
        interval, tests = (
            f"{low:+.4f} to {high:+.4f}",
            (f"{c.t_p:.2g}", f"{c.wilcoxon_p:.2g}", f"{c.paired.effect:.2f}"),
        )
        rows.append([c.metric, pair, f"{x:.4f}", f"{y:.4f}", f"{c.paired.difference:+.4f}", interval, *tests])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines.append("")
    for first, *others in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        lines.append(f"{first:<{widths[0]}}  {'  '.join(cells)}")
    lines += [
        "",
        "macro: mean over the means of the classes; differences are paired over classes",
        "p: two-sided, corrected by Holm over the pairs of a metric; interval: percentile bootstrap over classes; "
        "d: Cohen's, of paired samples",
    ]
    notes = dict.fromkeys(note for r in results for note in r.notes if note.startswith("NON-STANDARD"))
    typer.echo("\n".join([*lines, *notes]))
