"""What requests and answers look like; OpenAPI is made of it. Unknown fields and NaN are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from recbole_marn.serving.service.options import RANKED

__all__ = [
    "Answer", "Asked", "Asking", "Behaviour", "Contribution", "Found", "Health", "ItemContent", "ItemsAnswer",
    "ItemsRequest", "Problem", "Problems", "RankedItem", "RecommendAnswer", "RecommendRequest", "ScoreAnswer",
    "ScoredItem", "ScoreRequest", "ShownItem",
]  # fmt: skip

# Of one request; a model reads the latest behaviours of a history, often 50.
BEHAVIOURS, CANDIDATES, ITEMS, FIELDS, NUMBERS = 1000, 1000, 20, 100, 100_000

Id = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\u0000-\u001f\u007f]+$")]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Text = Annotated[str, Field(max_length=10_000)]
Value = bool | int | FiniteFloat | Text | None
Values = dict[Name, Value | Annotated[list[Value], Field(max_length=CANDIDATES)]]


class Strict(BaseModel):
    """Fields it does not know are refused: a misspelt one would do nothing."""

    model_config = ConfigDict(extra="forbid")


class Behaviour(Strict):
    """Something a user did."""

    item: Id = Field(description="id of the item")
    time: FiniteFloat | None = Field(None, description="in the unit of the training data")
    type: Text | None = Field(None, description="type of the behaviour, where the model reads it")


class Asking(Strict):
    """A user at a moment: nothing but what was done before."""

    history: list[Behaviour] = Field(default=[], max_length=BEHAVIOURS, description="oldest first; may be empty")
    time: FiniteFloat | None = Field(None, description="of the request, where the model reads the time since")
    profile: Annotated[Values, Field(max_length=FIELDS)] = Field({}, description="field -> value, where read")
    context: Annotated[Values, Field(max_length=FIELDS)] = Field(
        {}, description="field -> value, or a list of one value per candidate"
    )
    unknown: Literal["refuse", "leave_out"] = Field("refuse", description="what to do with ids that nobody knows")


class ScoreRequest(Asking):
    """Candidates to score for a user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "history": [{"item": "50", "time": 893286638}, {"item": "172", "time": 893286700}],
                    "time": 893290000,
                    "items": ["181", "242"],
                }
            ]
        }
    )
    items: list[Id] = Field(min_length=1, max_length=CANDIDATES, description="ids of the candidates")


class RecommendRequest(Asking):
    """The likeliest items for a user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"history": [{"item": "50", "time": 893286638}], "time": 893290000, "k": 5, "why": True}]
        }
    )
    k: int = Field(10, ge=1, le=RANKED, description="how many")
    items: list[Id] | None = Field(None, min_length=1, max_length=CANDIDATES, description="candidates; null: all items")
    unseen: bool = Field(True, description="leave out the items of the history")
    why: bool = Field(False, description="tell what each modality of an item does for its probability")


class ItemContent(Strict):
    """What is told of an item."""

    item: Id = Field(description="its id; that of a known item describes it anew")
    fields: Annotated[Values, Field(max_length=FIELDS)] = Field({}, description="columns as in training")
    vectors: dict[Name, Annotated[list[FiniteFloat], Field(max_length=NUMBERS)]] = Field(
        {}, max_length=FIELDS, description="modality -> numbers, by the encoder of the training data"
    )


class ItemsRequest(Strict):
    """Items to add, or to describe anew."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"items": [{"item": "new", "fields": {"movie_title": "Toy Story 3", "class": "Animation Comedy"}}]}
            ]
        }
    )
    items: list[ItemContent] = Field(min_length=1, max_length=ITEMS, description="all are taken, or none")


class Answer(BaseModel):
    """What every answer carries."""

    export: str = Field(description="which export answered: the start of its manifest's SHA-256")


class ScoredItem(BaseModel):
    """A candidate and its click probability."""

    item: str
    probability: float


class Asked(Answer):
    """What every answer about a user carries."""

    left_out: list[str] = Field(description="ids that nobody knows, if they were to be left out")
    unknown_values: list[str] = Field(
        description="fields of history, profile and context with a value that training never saw, or that is no number:"
        " it counts as missing"
    )
    behaviours: int = Field(description="how many of the history were read: the latest ones")


class ScoreAnswer(Asked):
    """Click probabilities of the candidates."""

    scores: list[ScoredItem] = Field(description="in the order of the request")


class ShownItem(BaseModel):
    """An item for people."""

    item: str
    title: str = Field(description="the first text the model reads, or the id")
    about: dict[str, str] = Field(description="further fields the model reads")
    photo: str | None = Field(description="path of its picture")


class Contribution(BaseModel):
    """What a modality of an item does for its probability."""

    modality: str
    change: float = Field(description="the probability less what it would be if the item lacked the modality")


class RankedItem(ShownItem):
    """An item of a ranking, the likeliest first."""

    probability: float
    why: list[Contribution] | None = Field(description="null: not asked for, or not known of this item")


class RecommendAnswer(Asked):
    """The likeliest items, the likeliest first."""

    scored: int = Field(description="items that were scored: all, or those of a short list (GET /health says which)")
    ranking: list[RankedItem]


class Found(Answer):
    """Items that a search found."""

    found: list[ShownItem]


class ItemsAnswer(Answer):
    """What became of the items that were sent."""

    added: int = Field(description="items nobody knew")
    replaced: int = Field(description="known items that were described anew")
    unknown: dict[str, int] = Field(description="field -> values or words that training never saw: they are missing")
    unreadable: dict[str, int] = Field(description="field -> values that are no numbers, prices of 0 or less: missing")
    without: dict[str, int] = Field(description="modality -> items that have nothing of it")
    not_read: list[str] = Field(description="columns that the model has no use for")
    not_given: list[str] = Field(description="columns that the model reads and no item has")


class Health(Answer):
    """Which export answers, and what it reads."""

    status: Literal["ok"]
    model: str
    items: int
    added: int = Field(description="items added since the export")
    skipped: int = Field(description="added items that this export cannot take")
    reload_problem: str | None = Field(description="why the export that is there now is not used; the one before is")
    retrieve: int | None = Field(description="items of a short list that is scored in place of all; null: all are")
    recall: dict[str, Any] | None = Field(description="of such lists, against full scoring, as the export measured it")
    longest_history: int
    reads: dict[str, Any] = Field(description="what the model reads of a behaviour, of profile and context")
    latest: float = Field(description="the last moment of the rows it was trained on")
    version: str


class Problem(BaseModel):
    """What was wrong with a request, and where."""

    where: str = Field(description="place in the request")
    reason: str


class Problems(BaseModel):
    """Why a request was not answered."""

    request_id: str
    problems: list[Problem]
