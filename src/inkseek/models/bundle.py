"""A bundle: a trained model on disk, with everything needed to embed a picture the way it was trained to see it."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from inkseek.errors import InkseekError
from inkseek.images.preprocessing import PREPROCESSING_VERSION, Domain
from inkseek.margins.relation_network import RelationNetwork
from inkseek.models import hub
from inkseek.models.backbone import create_backbone, input_size_of, normalisation_of
from inkseek.models.card import Card, read_card
from inkseek.models.embedder import Embedder

_WEIGHTS = "model.safetensors"
_CARD = "model.json"
_RECIPE = "recipe.yaml"
# More at once run out of a core's cache.
_BATCH_ON_CPU, _BATCH = 16, 64
_FROZEN = "frozen:"
_MARGIN = "margin."


class Model:
    """A model that embeds pictures; load one with `inkseek.load`.

    Attributes:
        card: architecture and preprocessing.
        embedder: the network, in evaluation mode.
        prepare: turns a picture into pixels, uint8 [image_size, image_size, 3].
        normalise: turns prepared pixels, uint8 [N, H, W, 3], into what the network reads.
        path: the folder it was loaded from; None for a model of the Hub or one made here.
        margin: the relation network and its memory, of a model that was trained with one.
        fingerprint: sha256 over the weights and everything of the card that changes an embedding.
    """

    def __init__(
        self, embedder: Embedder, card: Card, path: Path | None = None, margin: RelationNetwork | None = None
    ) -> None:
        self.embedder = embedder.eval()
        self.margin = margin
        self.card = card
        self.path = path
        self.dim = embedder.dim
        self.image_size = card.image_size
        self.prepare = card.preparation
        self.normalise = card.normalisation
        self.fingerprint = _fingerprint(embedder, card)

    def embed(self, pictures: Sequence[Image.Image], domain: Domain) -> npt.NDArray[np.float32]:
        """Embed pictures of one domain: float32 [N, dim], rows of unit length.

        Raises:
            BlankSketch: the domain is `sketch` and one of them is blank.
        """
        if not pictures:
            return np.empty((0, self.dim), dtype=np.float32)
        return self.embed_pixels(np.stack([self.prepare(picture, domain) for picture in pictures]))

    def embed_pixels(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Embed prepared pixels, uint8 [N, image_size, image_size, 3]: float32 [N, dim], rows of unit length."""
        rows = self.raw_pixels(pixels)
        return torch.nn.functional.normalize(torch.from_numpy(rows), dim=1).numpy()

    @torch.inference_mode()
    def raw_pixels(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return what `embed_pixels` brings to unit length: float32 [N, dim], as the network gives it."""
        self.embedder.eval()
        device = next(self.embedder.parameters()).device
        rows = np.empty((len(pixels), self.dim), dtype=np.float32)
        step = _BATCH_ON_CPU if device.type == "cpu" else _BATCH
        for start in range(0, len(pixels), step):
            batch = torch.from_numpy(np.ascontiguousarray(pixels[start : start + step])).to(device)
            embeddings = self.embedder(self.normalise(batch).contiguous(memory_format=torch.channels_last))
            rows[start : start + step] = embeddings.float().cpu().numpy()
        return rows

    @torch.inference_mode()
    def margins(self, embeddings: npt.NDArray[np.float32], domain: Domain) -> npt.NDArray[np.float32]:
        """Return the learned margin of each embedding by itself: float32 [N], in Euclidean distance of unit vectors.

        A class's own margin in training is the mean over its samples (`RelationNetwork`).

        Args:
            embeddings: float32 [N, dim], rows of unit length, as `embed` gives them.
            domain: what they are of.

        Raises:
            InkseekError: the model has not learned a margin.
        """
        if self.margin is None:
            raise InkseekError(
                "this model has no learned margin; a recipe whose quadruplet has one, such as ramln-emoji, trains it"
            )
        device = next(self.margin.parameters()).device
        domains = torch.full((len(embeddings),), int(domain == "photo"), device=device)
        return self.margin.of(torch.from_numpy(embeddings).to(device), domains)[:, 0].cpu().numpy()

    def without_head(self) -> Model:
        """Return the backbone's feature as the embedding; the backbone is shared, and a margin is left behind."""
        card = self.card.model_copy(update={"dim": None, "head_batchnorm": False, "margin": None})
        return Model(self.embedder.without_head(), card, path=self.path)

    def save(self, folder: Path) -> None:
        """Write the bundle; it appears whole or not at all, and replaces the one that was there.

        Raises:
            InkseekError: the folder cannot be written, or the disk is full; what was there stands.
        """
        beside: Path | None = None
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(prefix=".bundle-", dir=folder.parent))
            (beside / "new").mkdir()
            tensors = self.embedder.state_dict()
            if self.margin is not None:
                tensors |= {f"{_MARGIN}{name}": tensor for name, tensor in self.margin.state_dict().items()}
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, beside / "new" / _WEIGHTS)
            (beside / "new" / _CARD).write_text(self.card.model_dump_json(indent=2) + "\n", encoding="utf-8")
            if folder.exists():
                folder.rename(beside / "previous")
            (beside / "new").rename(folder)
        except (OSError, SafetensorError) as error:
            raise InkseekError(f"{folder}: the model cannot be written ({error})") from None
        finally:
            if beside is not None:
                shutil.rmtree(beside, ignore_errors=True)

    def push_to_hub(
        self,
        repo: str,
        *,
        private: bool = True,
        results: hub.Figures | None = None,
        recipe: str | None = None,
        licence: str = "other",
    ) -> str:
        """Publish the bundle with a model card on the Hugging Face Hub, and return its address.

        Args:
            repo: `owner/name`; made where there is none.
            private: whether others are kept out of a repository that is made.
            results: what the card shows, as `inkseek.evaluate` returned it for this very model.
            recipe: the resolved recipe as YAML; that of the run which the model was loaded from by default.
            licence: of the weights, one of the Hub's identifiers (`apache-2.0`, `cc-by-sa-4.0`): the pictures that they
                were trained on have a say in it.

        Raises:
            InkseekError: not logged in, no network, results of another model.
        """
        text = self._own_recipe() if recipe is None else recipe
        readme = hub.model_card(self.card, self.fingerprint, repo, results=results, recipe=text, licence=licence)
        with tempfile.TemporaryDirectory() as beside:
            folder = Path(beside) / "bundle"
            self.save(folder)
            (folder / "README.md").write_text(readme, encoding="utf-8")
            return hub.upload(folder, repo, private=private)

    def _own_recipe(self) -> str:
        for folder in (self.path, self.path.parent) if self.path is not None else ():
            if (folder / _RECIPE).is_file():
                return (folder / _RECIPE).read_text(encoding="utf-8")
        return ""


def frozen(
    backbone: str, image_size: int | None = None, weights: str | Path | None = None, *, resize: int | None = None
) -> Model:
    """Return a backbone's own ImageNet features as a model: the baseline that training starts from."""
    return new_model(backbone, dim=None, image_size=image_size, resize=resize, weights=weights)


def new_model(
    backbone: str,
    *,
    dim: int | None,
    image_size: int | None,
    resize: int | None = None,
    weights: str | Path | None = None,
    head_batchnorm: bool = False,
    recipe: str = "",
    trained_on: str = "",
    attribution: str = "",
) -> Model:
    """Return a model with ImageNet weights and a fresh head, ready for training.

    Args:
        backbone: see `create_backbone`.
        dim: length of the embedding; None for the backbone's own feature.
        image_size: side of the pictures in pixels; None for the backbone's own.
        resize: photos' shorter side before they are cropped to `image_size`; None squeezes them whole.
        weights: a file to take the backbone's weights from, in place of those that the name stands for.
        head_batchnorm: see `Embedder`.
        recipe: its name, for the card; so are `trained_on` and `attribution`.

    Raises:
        InkseekError: unknown backbone, or weights that cannot be had.
    """
    network = create_backbone(backbone, weights=weights, image_size=image_size)
    normalisation = normalisation_of(network)
    card = Card(
        backbone=backbone,
        dim=dim,
        image_size=image_size or input_size_of(network),
        resize=resize,
        mean=normalisation.mean,
        std=normalisation.std,
        channels=normalisation.channels,
        head_batchnorm=head_batchnorm,
        preprocessing=PREPROCESSING_VERSION,
        recipe=recipe,
        trained_on=trained_on,
        attribution=attribution,
    )
    return Model(Embedder(network, dim, head_batchnorm=head_batchnorm), card)


def load(path: str | Path) -> Model:
    """Load a model from a run's folder, a bundle's folder, or the Hugging Face Hub.

    A text `owner/name` or `owner/name@revision` names a model on the Hub where no folder `owner` is at hand; once
    fetched, it is found without a network. `frozen:NAME` or `frozen:NAME@SIZE` gives a timm backbone's own ImageNet
    features (SIZE pixels; the backbone's own size by default), `frozen:NAME@SIZE/RESIZE` those of photos whose shorter
    side is brought to RESIZE pixels before the crop.

    Raises:
        InkseekError: nothing there, or not a bundle of this version; files are checked, never unpickled.
    """
    if str(path).startswith(_FROZEN):
        name, _, sizes = str(path).removeprefix(_FROZEN).partition("@")
        size, _, resize = sizes.partition("/")
        if any(given and not (given.isdecimal() and 16 <= int(given) <= 2048) for given in (size, resize)):
            raise InkseekError(f"{path}: the picture size after '@' must be a number from 16 to 2048")
        if resize and not (size and int(resize) >= int(size)):
            raise InkseekError(f"{path}: write @SIZE/RESIZE, where RESIZE is at least SIZE")
        return frozen(name, int(size) if size else None, resize=int(resize) if resize else None)
    if isinstance(path, str) and hub.is_hub_id(path):
        return _read(hub.download(path, [_CARD, _WEIGHTS]), named=path, path=None)
    given = Path(path).expanduser()
    return _read(given / "bundle" if (given / "bundle").is_dir() else given, named=str(path), path=given)


def _read(folder: Path, *, named: str, path: Path | None) -> Model:
    if not (folder / _CARD).is_file():
        raise InkseekError(
            f"{named}: no model here; expected a run's folder (with bundle/) or a folder with {_CARD} and {_WEIGHTS}; "
            "`inkseek demo` trains one"
        )
    card = read_card(folder / _CARD)
    backbone = create_backbone(card.backbone, pretrained=False, image_size=card.image_size)
    embedder = Embedder(backbone, card.dim, head_batchnorm=card.head_batchnorm)
    margin = None
    if card.margin is not None:
        with torch.device("meta"):  # so that the file, and not what a stranger's card says, decides on the memory
            margin = card.margin.settings.build(dim=embedder.dim, classes=card.margin.classes)
    try:
        tensors = load_file(folder / _WEIGHTS)
        if margin is not None:
            names = [name for name in tensors if name.startswith(_MARGIN)]
            margin.load_state_dict({name.removeprefix(_MARGIN): tensors.pop(name) for name in names}, assign=True)
            margin.float()
        embedder.load_state_dict(tensors)
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InkseekError(f"{folder / _WEIGHTS}: not this model's weights ({reason})") from None
    return Model(embedder, card, path=path, margin=margin)


def _fingerprint(embedder: Embedder, card: Card) -> str:
    digest = hashlib.sha256()
    what = card.model_dump(include={"format", "backbone", "dim", "image_size", "mean", "std", "preprocessing"})
    # What later versions added counts where it is used, so that galleries of older bundles stay valid.
    what |= card.model_dump(include={"channels", "head_batchnorm", "resize"}, exclude_defaults=True)
    digest.update(json.dumps(what, sort_keys=True).encode())
    for name, tensor in sorted(embedder.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
