"""A model as an ONNX file that runs without torch, written only once it has been seen to agree with torch."""

from __future__ import annotations

import copy
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from inkseek.errors import InkseekError
from inkseek.models.bundle import Model
from inkseek.models.embedder import Embedder

TOLERANCE = {False: 1e-4, True: 2e-2}
"""The largest difference from torch that a number of a unit embedding may have: in whole (False), in half precision."""

INPUT, OUTPUT = "pixels", "embedding"


def export_onnx(model: Model, out: Path, pixels: npt.NDArray[np.uint8], *, half: bool = False) -> float:
    """Write an ONNX file and return how far its embeddings are from torch's on real pictures.

    Its input `pixels` is float32 [batch, 3, image_size, image_size], normalised; its output `embedding` is float32
    [batch, dim], rows of unit length. The file's metadata holds what `model.json` says, and the fingerprint, as JSON:
    among it what is done to pixels (`(rgb / 255 - mean) / std`, channels first, in the order of `channels`).

    Args:
        model: what to export.
        out: the file; it appears whole and checked, or not at all.
        pixels: prepared pictures, uint8 [N, image_size, image_size, 3], on which the file is held against torch.
        half: keep the weights in half precision: half the file, and a coarser embedding.

    Returns:
        The largest absolute difference.

    Raises:
        InkseekError: the extra `export` is not installed, the backbone cannot be exported, the embeddings differ by
            more than `TOLERANCE`, or the file cannot be written.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise InkseekError(f"the export needs {error.name}: pip install 'inkseek[export]'") from None
    if not out.parent.is_dir():
        raise InkseekError(f"{out}: cannot be written (no such folder as {out.parent})")
    program = _program(model, half=half)
    program.model.producer_name = "inkseek"
    program.model.metadata_props.update(_metadata(model, half=half))
    try:
        with tempfile.TemporaryDirectory(prefix=".onnx-", dir=out.parent) as beside:
            file = Path(beside) / out.name
            program.save(file)
            session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
            difference = _difference(model, session, pixels)
            if not difference <= TOLERANCE[half]:
                raise InkseekError(
                    f"{out}: not written: its embeddings differ from torch's by {difference:.1e}, more than "
                    f"{TOLERANCE[half]:.0e}" + ("; export it without --half" if half else "")
                )
            file.replace(out)
    except OSError as error:
        raise InkseekError(f"{out}: cannot be written ({error.strerror or error})") from None
    return difference


class _Unit(nn.Module):
    """The embedder with unit rows, float32 at both ends."""

    def __init__(self, embedder: Embedder, dtype: torch.dtype) -> None:
        super().__init__()
        self.embedder = embedder.to(dtype)
        self.dtype = dtype

    def forward(self, pixels: Tensor) -> Tensor:
        return nn.functional.normalize(self.embedder(pixels.to(self.dtype)).float(), dim=1)


def _program(model: Model, *, half: bool) -> Any:
    network = _Unit(copy.deepcopy(model.embedder).cpu(), torch.float16 if half else torch.float32).eval()
    example = torch.zeros(2, 3, model.image_size, model.image_size)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter warns of its own insides
            return torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                verbose=False,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes={INPUT: {0: "batch"}},
            )
    except Exception as error:  # each backbone that cannot be traced fails in a way of its own
        reason = " ".join(str(error).split())[:160]
        raise InkseekError(f"{model.card.backbone} cannot be exported to ONNX ({reason})") from None


def _metadata(model: Model, *, half: bool) -> dict[str, str]:
    about = model.card.model_dump(mode="json") | {"fingerprint": model.fingerprint, "half": half}
    return {f"inkseek.{name}": json.dumps(value) for name, value in about.items()}


def _difference(model: Model, session: Any, pixels: npt.NDArray[np.uint8]) -> float:
    """Return the largest absolute difference, with the first picture alone and with all of them as one batch."""
    expected = model.embed_pixels(pixels)
    inputs = model.normalise(torch.from_numpy(pixels)).contiguous().numpy()
    alone = session.run([OUTPUT], {INPUT: inputs[:1]})[0]
    together = session.run([OUTPUT], {INPUT: inputs})[0]
    return float(max(np.abs(alone - expected[:1]).max(), np.abs(together - expected).max()))
