"""What each endpoint answers; no HTTP here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recbole_marn import __version__
from recbole_marn.errors import InputError
from recbole_marn.serving.answers import Asker, Ranking
from recbole_marn.serving.contexts import columns_read
from recbole_marn.serving.histories import Behaviours, History
from recbole_marn.serving.service import schema
from recbole_marn.serving.service.added_file import AddedItem
from recbole_marn.serving.service.metrics import Metrics
from recbole_marn.serving.service.photos import ServedPhotos
from recbole_marn.serving.service.state import Answering, State

__all__ = ["Endpoints"]


class Endpoints:
    """The service without HTTP: from a request's model to an answer's.

    Every method raises `InputError` for what the model cannot take.
    """

    def __init__(self, state: State, photos: ServedPhotos, metrics: Metrics):
        self.state, self.photos, self.metrics = state, photos, metrics

    def score(self, asked: schema.ScoreRequest) -> schema.ScoreAnswer:
        """Probabilities of the candidates that are known, in the order of the request."""
        now = self.state.answering()
        history, items, left_out = self._known(now, asked, asked.items)
        # Lists of context are of all candidates, so those of left-out ones are scored, too.
        coded = now.scorer.coded(asked.profile, asked.context, len(asked.items))
        behaviours = now.scorer.behaviours_of([history])
        probability = now.scorer.score_numbers(behaviours, now.scorer.numbers(asked.items), coded.codes, asked.time)
        self.metrics.scored.inc(len(asked.items))
        known = set(items)
        return schema.ScoreAnswer(
            export=now.export,
            left_out=left_out,
            unknown_values=now.scorer.unknown_values(history, coded),
            behaviours=_read(now, behaviours),
            scores=[
                schema.ScoredItem(item=item, probability=value)
                for item, value in zip(asked.items, probability.tolist(), strict=True)
                if item in known
            ],
        )

    def recommend(self, asked: schema.RecommendRequest) -> schema.RecommendAnswer:
        """The likeliest items, of the candidates or of all."""
        now = self.state.answering()
        history, items, left_out = self._known(now, asked, asked.items or [])
        coded = now.scorer.coded(asked.profile, asked.context, 1)
        asker = now.scorer.asker(now.scorer.behaviours_of([history]), coded.codes, asked.time)
        among = now.among(None if asked.items is None else items)
        ranking = now.scorer.ranking(asker, asked.k, among, unseen=asked.unseen)
        self.metrics.scored.inc(ranking.scored)
        why = _why(now, asker, ranking) if asked.why else {}
        return schema.RecommendAnswer(
            export=now.export,
            left_out=left_out,
            unknown_values=now.scorer.unknown_values(history, coded),
            behaviours=_read(now, asker.behaviours),
            scored=ranking.scored,
            ranking=[
                schema.RankedItem(**self._shown(now, item), probability=value, why=why.get(item))
                for item, value in zip(ranking.items, ranking.probability.tolist(), strict=True)
            ],
        )

    def add(self, asked: schema.ItemsRequest) -> schema.ItemsAnswer:
        """Add items, or describe known ones anew: all, or none."""
        repeated = len(asked.items) - len({item.item for item in asked.items})
        if repeated:
            raise InputError("each item once", f"{repeated} repeated ids", "Keep one of them.")
        told = self.state.add([AddedItem(item.item, item.fields, item.vectors) for item in asked.items])
        now = self.state.answering()
        self.metrics.items.set(len(now.scorer.items))
        return schema.ItemsAnswer(export=now.export, **vars(told))

    def search(self, words: str, limit: int) -> schema.Found:
        """At most `limit` items whose title or id has all the words."""
        now = self.state.answering()
        found = now.shown.search(words, limit)
        return schema.Found(export=now.export, found=[schema.ShownItem(**self._shown(now, item)) for item in found])

    def health(self) -> schema.Health:
        """Which export answers, and what it reads."""
        now = self.state.answering()
        facts = now.scorer.facts
        return schema.Health(
            export=now.export,
            status="ok",
            model=facts.model,
            items=len(now.scorer.items),
            added=len(now.added),
            skipped=now.skipped,
            reload_problem=self.state.reload_problem,
            retrieve=now.retrieval and now.retrieval.size,
            recall=now.scorer.manifest.get("parity", {}).get("retrieval"),
            longest_history=facts.longest,
            reads={
                "time": facts.needs.time,
                "types": facts.types,
                "profile_and_context": columns_read(facts.context),
                "modalities": [] if now.tower is None else now.tower.modalities,
            },
            latest=facts.latest,
            version=__version__,
        )

    # -------------------------------------------------------------------------------------------------- parts
    def _known(
        self, now: Answering, asked: schema.Asking, items: Sequence[str]
    ) -> tuple[History, list[str], list[str]]:
        """The history and the candidates that are known, and the ids that are not."""
        ids = [behaviour.item for behaviour in asked.history] + list(items)
        known = now.scorer.knows(ids)
        unknown = [item for item, is_known in zip(ids, known, strict=True) if not is_known]
        self.metrics.unknown.inc(len(unknown))
        if unknown and asked.unknown == "refuse":
            raise InputError(
                "items that training saw or that were added",
                f"{unknown[0]!r}" + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""),
                'Add them by POST /items, or say unknown: "leave_out".',
            )
        if items and not known[len(asked.history) :].any():
            raise InputError("a candidate that is known", "none", "Give one that training saw or that was added.")
        kept = [one for one, is_known in zip(asked.history, known, strict=False) if is_known]
        needs = now.scorer.facts.needs
        history = History(
            [one.item for one in kept], _all(kept, "time", needed=needs.time), _all(kept, "type", needed=needs.typed)
        )
        candidates = [item for item, is_known in zip(items, known[len(asked.history) :], strict=True) if is_known]
        return history, candidates, unknown

    def _shown(self, now: Answering, item: str) -> dict[str, Any]:
        facts = now.shown.facts(item)
        photo = f"/photos/{item}" if item in self.photos else None
        return {"item": item, "title": facts.title, "about": facts.about, "photo": photo}


def _why(now: Answering, asker: Asker, ranking: Ranking) -> dict[str, list[schema.Contribution]]:
    """Item -> what each of its modalities does for its probability."""
    context = np.repeat(asker.context, len(ranking.items), axis=0)
    found = now.scorer.numbers_without_modalities(
        asker.behaviours, now.scorer.numbers(ranking.items), context, asker.time
    )
    return {
        item: [
            schema.Contribution(modality=name, change=float(whole - less))
            for name, less in zip(now.scorer.modalities, row, strict=True)
            if np.isfinite(less)
        ]
        for item, whole, row in zip(ranking.items, ranking.probability, found, strict=True)
        if np.isfinite(row).any()
    }


def _read(now: Answering, behaviours: Behaviours) -> int:
    return min(len(behaviours.item), now.scorer.facts.longest)


def _all(behaviours: Sequence[schema.Behaviour], name: str, *, needed: bool) -> list | None:
    """Values of all behaviours; None where none has one.

    Raises:
        InputError: some have one and some have none, or none has and the model reads them.
    """
    values = [getattr(behaviour, name) for behaviour in behaviours]
    given = sum(value is not None for value in values)
    if given < len(values) and (given or needed):
        raise InputError(
            f"a {name} of every behaviour" + ("" if needed else ", or of none"),
            f"{given} for {len(values)}",
            f'Give each as "{name}" beside its "item".',
        )
    return values if given else None
