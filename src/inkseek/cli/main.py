"""The command `inkseek`: its verbs, and one place where a user's mistake becomes one line."""

from __future__ import annotations

import inspect
import sys

import typer

from inkseek.cli import data
from inkseek.cli.compare import compare
from inkseek.cli.copy import copy
from inkseek.cli.demo import demo
from inkseek.cli.evaluate import evaluate
from inkseek.cli.export import export
from inkseek.cli.index import index
from inkseek.cli.losses import losses
from inkseek.cli.reproduce import reproduce
from inkseek.cli.score import score
from inkseek.cli.search import search
from inkseek.cli.serve import serve
from inkseek.cli.train import train
from inkseek.errors import InkseekError

app = typer.Typer(
    name="inkseek",
    help="Learn embeddings in which a sketch lands next to its photo, measure them, search pictures by drawing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(
    help="What data sets there are, whether a copy is whole, and smaller copies of what was downloaded.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
for group, verbs in (
    (app, (demo, train, evaluate, score, compare, reproduce, export, losses, index, search, copy, serve)),
    (data_app, (data.list_, data.check, data.prepare)),
):
    for verb in verbs:
        # A backspace tells click not to rewrap the examples; a docstring spells it out.
        text = inspect.cleandoc(verb.__doc__ or "").replace("\\b\n", "\b\n")
        group.command(verb.__name__.rstrip("_"), help=text)(verb)
app.add_typer(data_app, name="data")


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        from inkseek import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; what a user can put right is one line on stderr and exit code 2, never a traceback."""
    try:
        app()
    except InkseekError as error:
        sys.stderr.write(f"inkseek: {' '.join(str(error).split())}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        sys.stderr.write("inkseek: interrupted\n")
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader of a pipe has gone (`inkseek search ... | head`): nothing is wrong.
        sys.stderr.close()
        raise SystemExit(0) from None
