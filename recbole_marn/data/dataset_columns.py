"""What the item table is built from, read off RecBole's Dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from recbole.utils import FeatureType

from recbole_marn.data.columnar_dataset import ColumnarDataset
from recbole_marn.errors import InputError

__all__ = ["DatasetColumns"]


class DatasetColumns:
    """The item columns of a data set once RecBole has numbered their tokens: an `ItemColumns` of the `CTRDataset`."""

    def __init__(self, dataset: ColumnarDataset):
        self._dataset = dataset
        self.n_items = dataset.item_num
        self.id_field = dataset.iid_field
        self.folder = Path(dataset.dataset_path)

    def fields(self) -> list[str]:
        feat = self._dataset.item_feat
        return list(feat.columns) if feat is not None else [self._dataset.iid_field]

    def codes(self, field: str) -> tuple[np.ndarray, int]:
        if field == self.id_field:
            return np.arange(self.n_items)[:, None], self.n_items
        self._check(field, FeatureType.TOKEN, FeatureType.TOKEN_SEQ)
        values = self._dataset.item_feat[field].numpy()
        return values.reshape(self.n_items, -1), self._dataset.num(field)

    def numbers(self, field: str) -> np.ndarray:
        self._check(field, FeatureType.FLOAT)
        return self._dataset.item_numbers[field]

    def words(self, field: str) -> tuple[np.ndarray, dict[str, int]]:
        self._check(field, FeatureType.TOKEN_SEQ)
        return self._dataset.item_feat[field].numpy(), self._dataset.field2token_id[field]

    def vectors(self, field: str) -> list[np.ndarray]:
        self._check(field, FeatureType.FLOAT_SEQ)
        return self._dataset.item_sequences[field]

    def token_id(self) -> dict[str, int]:
        return self._dataset.field2token_id[self._dataset.iid_field]

    def _check(self, field: str, *kinds: FeatureType) -> None:
        found = self._dataset.field2type[field]
        if found not in kinds:
            raise InputError(
                "item column " + " or ".join(f"{field}:{kind.value}" for kind in kinds),
                f"{field}:{found.value}",
                "Correct the header of the .item file, or the kind of the modality that names it.",
            )
