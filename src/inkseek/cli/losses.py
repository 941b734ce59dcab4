"""`inkseek losses`: what there is to minimise, and how each is given."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Group

    from inkseek.losses.catalogue import Description

_KINDS = {
    "base": "losses",
    "regulariser": "regularisers, beside a loss",
    "competitor": "pytorch-metric-learning's, by adapter: pip install 'inkseek[competitors]'",
}


def losses(
    name: Annotated[str | None, typer.Argument(help="Tell everything about one of them.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    r"""List the losses: formula, paper, inputs, and the batch that is recommended.

    A recipe's `objective` names them; in Python they are in `inkseek.losses`.

    \b
    Examples:
      inkseek losses
      inkseek losses multi_similarity
      inkseek losses --json
    """
    import dataclasses
    import json

    from rich.console import Console

    from inkseek.errors import InkseekError, nearest
    from inkseek.losses.catalogue import REQUIRED, describe

    known = {description.name: description for description in describe()}
    if name is not None and name not in known:
        raise InkseekError(f"no loss is named {name!r}{nearest(name, known)}; there are: {', '.join(known)}")
    chosen = list(known.values()) if name is None else [known[name]]
    if as_json:
        rows = [dataclasses.asdict(description) for description in chosen]
        for row in rows:
            row["options"] = {k: "required" if v is REQUIRED else v for k, v in row["options"].items()}
        typer.echo(json.dumps(rows if name is None else rows[0], indent=1, ensure_ascii=False))
        return
    console = Console(highlight=False)
    if name is None:
        console.print(_list(chosen))
        console.print("one of them: inkseek losses NAME; in a recipe: objective: {NAME: {weight: 1.0, OPTION: ...}}")
    else:
        console.print(_page(chosen[0]))


def _list(descriptions: list[Description]) -> Group:
    """Every loss in a few lines, under the heading of its kind."""
    from rich.console import Group
    from rich.rule import Rule
    from rich.table import Table
    from rich.text import Text

    parts: list[Rule | Text | Table] = []
    for kind, heading in _KINDS.items():
        parts += [Rule(Text(heading), align="left"), Text()]
        for description in descriptions:
            if description.kind == kind:
                about = description.sections
                table = Table.grid(padding=(0, 2))
                table.add_column(style="dim", no_wrap=True)
                table.add_column(overflow="fold")
                for title in ("Formula", "Inputs", "Recommendations", "Source"):
                    table.add_row(f"  {title.lower()}", Text(_reflow(about[title])))
                parts += [Text.assemble((description.name, "bold"), f"  {description.summary}"), table, Text()]
    return Group(*parts)


def _page(description: Description) -> Group:
    """One loss with its options."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    from inkseek.losses.catalogue import REQUIRED

    options = ", ".join(
        name if default is REQUIRED else f"{name}={default!r}" for name, default in description.options.items()
    )
    parts: list[Text | Padding] = [Text(f"{description.name}({options})", style="bold"), Text(description.summary)]
    for title, text in description.sections.items():
        parts += [Text(f"\n{title}", style="bold"), Padding(Text(_reflow(text)), (0, 0, 0, 2))]
    return Group(*parts)


def _reflow(text: str) -> str:
    """A docstring's section with one line for each statement or option, for a terminal of any width."""
    return re.sub(r"(?<![.;])\n(?![a-z_]+: )\s*", " ", text)
