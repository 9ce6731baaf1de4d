"""Keys of the models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from recbole_marn.settings.parsing import option

__all__ = [
    "CTRSettings",
    "DIENSettings",
    "DINSettings",
    "DUPNSettings",
    "DecoupledMFSettings",
    "DenseFusionSettings",
    "EmbeddingSettings",
    "GRUSettings",
    "HSTUSettings",
    "MARNSettings",
    "MMSSSettings",
    "NAMLSettings",
    "QINSettings",
    "RecBoleAutoIntSettings",
    "RecBoleDCNV2Settings",
    "RankingSettings",
    "RecBoleDIENSettings",
    "RecBoleDINSettings",
    "RecBoleMLPSettings",
    "RecBoleXDeepFMSettings",
    "SimTierSettings",
    "TransformerDCNSettings",
    "XDeepFMSettings",
]

Activation = Literal["relu", "leakyrelu", "tanh", "none"]


@dataclass(frozen=True)
class RankingSettings:
    """Keys of Popularity, ItemCF and RandomScore: none of their own."""


@dataclass(frozen=True)
class CTRSettings:
    """Keys of every multimodal CTR model here."""

    width: int = option(64, "D, width of every modality and of the item vector", paper="256", low=1, high=4096)
    modality_norm: Literal["none", "batch"] = option("none", "batch normalisation of each aligned modality e_m (ours)")
    id_dropout: float = option(
        0.0, "share of items whose id is unknown in a training step; untrained ids then count as unknown (ours)",
        low=0, high=0.95,
    )  # fmt: skip
    prediction_hidden: Sequence[int] = option(
        (128, 64), "hidden layers of the prediction", paper="[128, 64]", low=1, high=65536
    )
    prediction_product: bool = option(False, "add u * candidate to the prediction's input", paper="false")
    dropout: float = option(0.0, "dropout in the prediction network", low=0, high=0.95)
    reference_kernels: bool = option(False, "use the slow, readable kernels of the title and image encoders")


@dataclass(frozen=True)
class MARNSettings(CTRSettings):
    """Keys of MARN. The first choice is the paper's reading (docs/models.md)."""

    fusion: Literal["maf", "conc"] = option("maf", "attention (eqs. 2, 3) or plain sum of the modalities")
    adversary: Literal["double", "single", "branch", "none"] = option(
        "double", "DDMA, one discriminator, the invariant branch without a game, or no branch"
    )
    rnn: Literal["apgru", "gru"] = option("apgru", "behaviour property in the update gate, or a plain GRU")
    pooling: Literal["attention", "last"] = option("attention", "user vector: candidate attention or last state")
    projection_activation: Activation = option("relu", "activation of S_m and I")
    attention_activation: Literal["tanh", "sigmoid"] = option("tanh", "activation of MAF's attention (eq. 3)")
    attention_normalise: bool = option(False, "softmax over the modalities in MAF; for studies")
    lambda0: float = option(0.05, "final weight of L_S and L_D1", paper=".01 to 1.8", low=0)
    gamma: float = option(10.0, "steepness of the lambda schedule", paper="10", low=0)
    lambda_placement: Literal["loss", "reversal"] = option("loss", "lambda on the loss or in the gradient reversal")
    adversary_epochs: int | None = option(None, "epochs until lambda reaches lambda0; null: all epochs", low=1)
    degree_target: Literal["loss", "feature", "both"] = option("loss", "where the degree w acts for D1")
    degree_normalise: Literal["none", "batch_mean"] = option("none", "divide w by its mean per modality (as IWAN)")
    discriminator_hidden: Sequence[int] = option(
        (), "hidden layers of D0 and D1", paper="none (one matrix)", low=1, high=65536
    )
    share_discriminator: bool = option(True, "D_s and D1 share their matrix", paper="true")
    specific_discriminator: bool = option(True, "train S_m with L_S; also in the single-adversary row")
    specific_stop: Literal["aligned", "raw"] = option("aligned", "L_S stops before the aligned e_m, or at its table")
    adversary_into_embedding: bool = option(False, "let L_D1 reach the embeddings below I")
    adversary_items: Literal["all", "candidate"] = option("all", "items in the three discriminator losses")
    adversary_reduction: Literal["mean", "sum_modalities"] = option("mean", "over modalities: mean or sum")
    discriminator_rate: float = option(1.0, "learning rate of D1 relative to the rest", low=0)
    invariant_pooling: Literal["max", "mean"] = option("max", "over the weighted invariant features")
    invariant_norm: Literal["none", "batch", "whiten"] = option("none", "normalise I's output per modality (ours)")
    invariant_codes: int | None = option(
        None, "c is one of so many balanced code vectors; null: I's output", low=2, high=65536
    )
    alignment_weight: float = option(0.0, "weight of L_A, which pulls c of an item's modalities together (ours)", low=0)
    gate: Literal["concat", "prop_only", "no_hidden", "scale", "none"] = option("concat", "APGRU's update gate")
    hidden_size: int | None = option(None, "H of the GRU; null: width", low=1, high=4096)
    attention_hidden: Sequence[int] = option((64,), "hidden layers of the candidate attention", low=1, high=65536)
    attention_values: Literal["state", "state_and_item"] = option("state", "what the candidate attention averages")


@dataclass(frozen=True)
class GRUSettings(CTRSettings):
    """Keys of the models that differ in their fusion of modalities."""

    hidden_size: int | None = option(None, "H of the GRU; null: width", low=1, high=4096)
    pooling: Literal["attention", "last"] = option("last", "user vector: candidate attention or last state")
    attention_hidden: Sequence[int] = option((64,), "hidden layers of the candidate attention", low=1, high=65536)
    attention_values: Literal["state", "state_and_item"] = option("state", "what the candidate attention averages")


@dataclass(frozen=True)
class DenseFusionSettings(GRUSettings):
    """Keys of DenseMultimodalFusion."""

    levels: int = option(2, "levels at which the modalities meet", low=1, high=16)


@dataclass(frozen=True)
class MMSSSettings(GRUSettings):
    """Keys of MMSS."""

    modality_attention_size: int | None = option(None, "width of the modality attention; null: width", low=1, high=4096)


@dataclass(frozen=True)
class NAMLSettings(MMSSSettings):
    """Keys of NAML."""

    own_head: bool = option(False, "NAML's own attention over the history and dot product, in place of GRU and MLP")


@dataclass(frozen=True)
class XDeepFMSettings(CTRSettings):
    """Keys of MultimodalxDeepFM."""

    cin_layers: Sequence[int] = option(
        (32, 32), "feature maps of each layer of the CIN", paper="100 or 200", low=1, high=65536
    )


@dataclass(frozen=True)
class DINSettings(CTRSettings):
    """Keys of MultimodalDIN."""

    attention_hidden: Sequence[int] = option(
        (64,), "hidden layers of the activation unit", paper="[36]", low=1, high=65536
    )
    attention_normalise: bool = option(False, "softmax over the history", paper="false")


@dataclass(frozen=True)
class SimTierSettings(DINSettings):
    """Keys of SimTier."""

    tiers: int = option(20, "N, tiers of similarity between -1 and 1", low=1, high=1000)


@dataclass(frozen=True)
class DecoupledMFSettings(CTRSettings):
    """Keys of DecoupledMF."""

    tiers: int = option(20, "N, tiers of similarity between -1 and 1", low=1, high=1000)
    attention_size: int | None = option(None, "A, width of query, key and value; null: width", low=1, high=8192)
    count_hidden: Sequence[int] = option((64,), "hidden layers on the counts by tier", low=1, high=65536)


@dataclass(frozen=True)
class QINSettings(CTRSettings):
    """Keys of QIN."""

    prediction_hidden: Sequence[int] = option(
        (), "hidden layers after the quadratic ones", paper="none", low=1, high=65536
    )
    attention_size: int | None = option(
        None, "A, width of query, key and value; null: 2 * width", paper="2 * width", low=1, high=8192
    )
    quadratic_layers: int = option(3, "quadratic layers of the prediction", paper="4", low=1, high=16)


@dataclass(frozen=True)
class TransformerDCNSettings(CTRSettings):
    """Keys of TransformerDCN."""

    n_layers: int = option(1, "layers of the Transformer", paper="2", low=1, high=64)
    n_heads: int = option(1, "heads of each layer; they divide 2 * width", paper="1", low=1, high=64)
    inner_size: int = option(256, "hidden layer of the Transformer's feed-forward", paper="256", low=1, high=65536)
    transformer_dropout: float = option(0.0, "dropout in the Transformer", paper=".1", low=0, high=0.95)
    cross_layers: int = option(3, "layers of the cross network", paper="3", low=1, high=16)


@dataclass(frozen=True)
class HSTUSettings(CTRSettings):
    """Keys of HSTU."""

    n_layers: int = option(2, "layers of pointwise attention", low=1, high=64)
    n_heads: int = option(1, "heads of each layer; they divide width", low=1, high=64)


@dataclass(frozen=True)
class DIENSettings(CTRSettings):
    """Keys of MultimodalDIEN."""

    hidden_size: int | None = option(None, "H of both GRUs; null: width", low=1, high=4096)
    auxiliary_weight: float = option(1.0, "weight of the auxiliary loss", paper="1", low=0)
    auxiliary_hidden: Sequence[int] = option(
        (100, 50), "hidden layers of the auxiliary loss; authors [100, 50]", low=1, high=65536
    )


@dataclass(frozen=True)
class DUPNSettings(CTRSettings):
    """Keys of DUPN."""

    hidden_size: int | None = option(None, "H of the LSTM; null: width", low=1, high=4096)
    attention_hidden: Sequence[int] = option((64,), "hidden layers of the attention", low=1, high=65536)


# --------------------------------------------------------------------------------------- RecBole's own models
@dataclass(frozen=True)
class EmbeddingSettings:
    """Keys of RecBole's LR and FM. Widths are as MARN's here, and nothing is dropped; other defaults are RecBole's."""

    embedding_size: int = option(32, "width of every embedding; as MARN's item id", low=1, high=4096)


@dataclass(frozen=True)
class RecBoleMLPSettings(EmbeddingSettings):
    """Keys of RecBole's WideDeep and DeepFM, and of its other models with an MLP."""

    mlp_hidden_size: Sequence[int] = option(
        (128, 64), "hidden layers, of DIN's and DIEN's attention too", low=1, high=65536
    )
    dropout_prob: float = option(0.0, "dropout of the MLP", low=0, high=0.95)


@dataclass(frozen=True)
class RecBoleXDeepFMSettings(RecBoleMLPSettings):
    """Keys of RecBole's xDeepFM."""

    reg_weight: float = option(5e-4, "L2 penalty of its layers", low=0)
    direct: bool = option(False, "give each layer of the CIN on whole")
    cin_layer_size: Sequence[int] = option((100, 100, 100), "feature maps of each layer of the CIN", low=1, high=65536)


@dataclass(frozen=True)
class RecBoleAutoIntSettings(EmbeddingSettings):
    """Keys of RecBole's AutoInt."""

    attention_size: int = option(16, "width of a field in the attention; num_heads divides it", low=1, high=4096)
    n_layers: int = option(3, "layers of attention", low=1, high=64)
    num_heads: int = option(2, "heads of each layer", low=1, high=64)
    has_residual: bool = option(False, "add the fields to what the attention makes of them")
    mlp_hidden_size: Sequence[int] = option((128, 64), "hidden layers", low=1, high=65536)
    dropout_probs: Sequence[float] = option(
        (0.0, 0.0, 0.0), "dropout of attention, MLP and the attention's output", low=0, high=0.95, least=3
    )


@dataclass(frozen=True)
class RecBoleDCNV2Settings(RecBoleMLPSettings):
    """Keys of RecBole's DCNV2."""

    structure: Literal["stacked", "parallel"] = option("stacked", "MLP on top of the cross network, or beside it")
    cross_layer_num: int = option(3, "layers of the cross network", low=1, high=64)
    mixed: bool = option(False, "a mixture of experts of low rank in place of each cross matrix")
    expert_num: int = option(4, "experts, with mixed", low=1, high=64)
    low_rank: int = option(128, "rank of an expert, with mixed", low=1, high=4096)
    reg_weight: float = option(2, "weight of the norms of the cross matrices in the loss", low=0)


@dataclass(frozen=True)
class RecBoleDINSettings(RecBoleMLPSettings):
    """Keys of RecBole's DIN."""

    pooling_mode: Literal["mean", "max", "sum"] = option("mean", "pooling of features that are sequences")


@dataclass(frozen=True)
class RecBoleDIENSettings(RecBoleDINSettings):
    """Keys of RecBole's DIEN."""

    gru_type: Literal["GRU", "AIGRU", "AGRU", "AUGRU"] = option("AUGRU", "how interest evolves")
    alpha: float = option(1.0, "weight of the auxiliary loss", low=0)
