"""What means over unique items are weighted by, so that they equal means over every position of the batch."""

from torch import Tensor

__all__ = ["mean_over", "occurrences", "total"]


def occurrences(like: Tensor, present: Tensor | None = None, count: Tensor | None = None) -> Tensor:
    """How many positions of the batch each (item, modality) pair stands for; 0 where absent.

    Args:
        like: (E, M, ...), of whose type and device the result is.
        present: (E, M) bool, None meaning all.
        count: (E,) positions of an item, None meaning one each.

    Returns:
        (E, M)
    """
    shape = like.shape[:2]
    weight = like.new_ones(shape) if count is None else count[:, None].to(like).expand(shape)
    return weight if present is None else weight * present


def mean_over(weighted: Tensor, weight: Tensor, dim: int | None = None) -> Tensor:
    """The mean of values already multiplied by their occurrences, over all or along `dim`; 0 where nothing occurs.

    Shapes: weighted, weight (E, M) -> a scalar, with dim=0 (M,)
    """
    return weighted.sum(dim) / total(weight, dim)


def total(weight: Tensor, dim: int | None = None) -> Tensor:
    """Occurrences (E, M), over all or along `dim`: what a sum is divided by. 1 where nothing occurs."""
    return weight.sum(dim).clamp_min(1.0)
