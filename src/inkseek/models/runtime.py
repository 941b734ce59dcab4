"""What runs a model's forward pass: torch, or ONNX Runtime on a file that has been held against torch."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from inkseek.cache import cache_folder
from inkseek.errors import InkseekError
from inkseek.models.bundle import Model
from inkseek.models.export import INPUT, OUTPUT, export_onnx

Runtime = Literal["torch", "onnx"]

_BATCH = 64
_CHECKED_ON = 6


class OnnxModel(Model):
    """A model whose pictures are embedded by ONNX Runtime on the CPU, on as many threads as there are cores to use.

    The embeddings agree with torch's within `export.TOLERANCE`, so the fingerprint is the model's own and a gallery
    may be made by one and searched by the other.

    Args:
        model: what to run; the rest of it (its margin, its head) stays with torch.

    Raises:
        InkseekError: an extra is missing, the backbone cannot be exported, or its file does not agree with torch.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model.embedder, model.card, model.path, model.margin)
        self._session = _session(model)

    def embed_pixels(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Embed prepared pixels, uint8 [N, image_size, image_size, 3]: float32 [N, dim], rows of unit length."""
        rows = np.empty((len(pixels), self.dim), dtype=np.float32)
        for start in range(0, len(pixels), _BATCH):
            batch = torch.from_numpy(np.ascontiguousarray(pixels[start : start + _BATCH]))
            inputs = self.normalise(batch).contiguous().numpy()
            rows[start : start + _BATCH] = self._session.run([OUTPUT], {INPUT: inputs})[0]
        return rows


def with_runtime(model: Model, runtime: Runtime) -> Model:
    """Return the model run by this runtime.

    Raises:
        InkseekError: see `OnnxModel`.
    """
    if runtime == "torch" or isinstance(model, OnnxModel):
        return model
    return OnnxModel(model)


def _session(model: Model) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise InkseekError(f"--runtime onnx needs {error.name}: pip install 'inkseek[export]'") from None
    file = cache_folder() / "onnx" / f"{model.fingerprint}.onnx"
    try:
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            export_onnx(model, file, _some_pixels(model.image_size))
    except OSError as error:
        raise InkseekError(f"{file}: cannot be written ({error.strerror or error})") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise InkseekError(f"{file}: cannot be run ({' '.join(str(error).split())[:160]}); delete it") from None


def _some_pixels(size: int) -> npt.NDArray[np.uint8]:
    """Return pictures to hold the file against torch on: in large patches, in noise, in plain colours."""
    random = np.random.default_rng(0)
    pictures: list[npt.NDArray[np.uint8]] = []
    for number in range(_CHECKED_ON):
        cells = size if number % 3 == 1 else max(2, size // 16)
        coarse = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        side = -(-size // cells)
        picture = np.kron(coarse, np.ones((side, side, 1), np.uint8))[:size, :size]
        pictures.append(np.where(picture > 127, 255, 0).astype(np.uint8) if number % 3 == 2 else picture)
    return np.stack(pictures)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
