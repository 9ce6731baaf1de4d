"""VGG16 (Simonyan and Zisserman, ICLR 2015) without its last two layers, the paper's image encoder (section 4.1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from recbole_marn.errors import InputError
from recbole_marn.files import sha256
from recbole_marn.prepare.encoders import ImageEncoder, need
from recbole_marn.prepare.encoders.weights import load_weights

__all__ = ["load"]

_SIZE, _WIDTH = 224, 4096
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as the weights were trained


def load(weights: Path | None = None) -> ImageEncoder:
    """The encoder with torchvision's ImageNet weights (downloaded once, 528 MB), or those of a file."""
    models = need("torchvision.models", "vgg16", "encoding photos with vgg16")
    weights = weights or _downloaded(models.VGG16_Weights.IMAGENET1K_V1.url)
    network = load_weights(models.vgg16(weights=None), weights)
    network.classifier = network.classifier[:-2]  # drop Dropout and the 1,000-way layer: fc7 after its ReLU stays
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _STD))

    def encode(pictures: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            return network((pixels - mean) / std).numpy()

    return ImageEncoder("vgg16", _WIDTH, _SIZE, sha256(weights), encode)


def _downloaded(url: str) -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rsplit("-", 1)[1])
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"to download the weights of VGG16 from {url}",
                f"no success ({error})",
                f"Fetch that file on another machine and pass --encoder-weights {path.name}, "
                "or use --encoder efficientnet-lite0, whose weights come as a package.",
            ) from error
    return path
