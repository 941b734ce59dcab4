"""`inkseek export`: a model for programs that have no torch."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from inkseek.images.preprocessing import Preparation

_PICTURES = 16


def export(
    model: Annotated[str, typer.Argument(help="A run's folder, a bundle, a Hub id, frozen:BACKBONE[@SIZE[/RESIZE]].")],
    onnx: Annotated[bool, typer.Option("--onnx", help="Write ONNX, the one format that there is.")] = False,
    out: Annotated[Path, typer.Option(help="The file.")] = Path("model.onnx"),
    half: Annotated[bool, typer.Option("--half", help="Keep the weights in half precision.")] = False,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Check the file on pictures of this folder; the run's own by default."),
    ] = None,
) -> None:
    r"""Write a model as an ONNX file.

    The batch is of any size, and the metadata says what is done to pixels before. The file is held against torch on
    real pictures, and not written where they disagree.

    \b
    Examples:
      inkseek export runs/quickdraw-rdvc --onnx
      inkseek export runs/quickdraw-rdvc --onnx --half --out sketches.onnx --pictures ~/Pictures
    """
    from inkseek.cli.printable import printable
    from inkseek.errors import InkseekError
    from inkseek.models.bundle import load
    from inkseek.models.export import TOLERANCE, export_onnx

    if not onnx:
        raise InkseekError("say the format: --onnx")
    loaded = load(model)
    pixels, origin = _pixels(model, pictures, loaded.prepare)
    difference = export_onnx(loaded, out, pixels, half=half)
    typer.echo(f"{printable(out)}: {out.stat().st_size / 1e6:.1f} MB", err=True)
    typer.echo(
        f"checked against torch on {len(pixels)} pictures of {printable(origin)}: the embeddings differ by at most "
        f"{difference:.1e} (tolerance {TOLERANCE[half]:.0e})",
        err=True,
    )


def _pixels(model: str, pictures: Path | None, prepare: Preparation) -> tuple[npt.NDArray[np.uint8], str]:
    """Return a few prepared pictures, of a folder or of the run's own training data, and where they are from."""
    import numpy as np

    from inkseek.datasets.catalogue import open_dataset
    from inkseek.errors import InkseekError
    from inkseek.images.reading import find_pictures
    from inkseek.models.embedding import load_pixels
    from inkseek.training.recipe import load_recipe

    if pictures is not None:
        found = [(path, "photo") for path in islice(find_pictures(pictures), _PICTURES)]
        origin = str(pictures)
    elif (recipe := Path(model) / "recipe.yaml").is_file():
        data = load_recipe(str(recipe)).data
        items = open_dataset(data.name, data.root).training(hold_out=False)
        some = np.unique(np.linspace(0, len(items) - 1, _PICTURES).astype(np.int64))
        found = [(items.paths[i], str(items.domains[i])) for i in some]
        origin = data.name
    else:
        raise InkseekError(f"{model}: no run with pictures of its own to check the file on; name some with --pictures")
    if not found:
        raise InkseekError(f"{pictures}: no pictures to check the file on")
    pixels = [load_pixels(path, "sketch" if of == "sketch" else "photo", prepare) for path, of in found]
    return np.stack(pixels), origin
