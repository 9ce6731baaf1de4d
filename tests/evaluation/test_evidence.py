"""Evidence against the scores it was made from: metrics, bytes there and back, and what is refused."""

import io
import lzma
import math

import numpy as np
import pytest

from recbole_marn.errors import InputError
from recbole_marn.evaluation import packing
from recbole_marn.evaluation import scores as scored
from recbole_marn.evaluation.cluster_statistics import PLACEMENTS, cluster_statistics
from recbole_marn.evaluation.evidence import evidence_of, evidence_of_parts, pack, unpack
from recbole_marn.evaluation.packing import packed, unpacked


def kept_metrics(scores, log):
    """What the evidence keeps of a part's metrics: no Recall or Hit, which no table shows."""
    metrics = scored.part_metrics(scores, log)
    return {name: value for name, value in metrics.items() if not name.startswith(("Recall", "Hit"))}


def columns(seed=0, requests=True, rows=400):
    """Ties, users and requests of one class, a request of one row; requests belong to users."""
    rng = np.random.default_rng(seed)
    request = np.sort(rng.integers(0, 70, rows)) * 2 + 1
    label = (rng.random(rows) < 0.25).astype(float)
    label[request == request[0]] = 1
    score = rng.integers(1, 20, rows) / 25 + 0.1 * label
    found = {"user": request % 23, "label": label, "score": score.astype(np.float32)}
    return {**found, "request": request} if requests else found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("log", "requests"), [(True, True), (True, False), (False, False)])
def test_metrics_come_back_from_the_bytes(seed, log, requests):
    scores = columns(seed, requests)
    wanted = kept_metrics(scores, log)
    found = unpack(pack({"test": evidence_of(scores, log)}))["test"].metrics(log)
    assert found == pytest.approx(wanted, abs=1e-6)
    if requests:
        assert wanted["requests without a click"] and wanted["requests without a non-click"]


@pytest.mark.parametrize(("log", "requests"), [(True, True), (True, False), (False, False)])
def test_parts_without_tests_keep_pairs_and_totals(log, requests):
    """Every metric of the validation part comes back; sums of each user stay with the test part alone."""
    scores = columns(3, requests)
    content = pack(evidence_of_parts({"valid": scores, "test": scores}, log))
    found = unpack(content)
    assert found["valid"].metrics(log) == pytest.approx(kept_metrics(scores, log), abs=1e-6)
    assert len(found["test"].clusters["user"].sums_of("loss")) == len(np.unique(scores["user"]))
    with pytest.raises(InputError, match="pairs inside clusters"):
        found["valid"].clusters["user"].auc()
    assert pack(found) == content


def test_the_same_evidence_has_the_same_bytes():
    one = evidence_of_parts({"valid": columns(1), "test": columns(2)}, True)
    assert pack(one) == pack(unpack(pack(one))) and set(unpack(pack(one))) == {"valid", "test"}


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint16])
def test_users_come_back_whatever_their_type(kind):
    scores = columns() | {"user": columns()["user"].astype(kind)}
    found = unpack(pack({"test": evidence_of(scores, False)}))["test"].clusters["user"].cluster
    assert found.tolist() == sorted(set(scores["user"].tolist()))


def test_tokens_are_users_too():
    scores = columns() | {"user": columns()["user"].astype(str)}
    assert unpack(pack({"test": evidence_of(scores, True)}))["test"].metrics(True) == pytest.approx(
        kept_metrics(scores, True), abs=1e-6
    )


def test_a_part_of_one_class_has_what_is_defined():
    scores = columns() | {"label": np.zeros(400)}
    found = unpack(pack({"test": evidence_of(scores, True)}))["test"].metrics(True)
    assert math.isnan(found["AUC"]) and math.isnan(found["MRR"]) and found["requests"] == 0
    assert found["LogLoss"] == pytest.approx(kept_metrics(scores, True)["LogLoss"])


def rewritten(part="test", **changed):
    """Packed evidence of a part with some arrays changed, written as they are."""
    made = evidence_of_parts({part: columns(4)}, True)
    with np.load(io.BytesIO(lzma.decompress(pack(made)))) as file:
        arrays = {name: file[name] for name in file.files}
    for name, change in changed.items():
        key = f"{part}/{name.replace('__', '/')}"
        arrays[key] = change(arrays[key])
    file = io.BytesIO()
    np.savez(file, **{name: values for name, values in arrays.items() if values is not None})
    return lzma.compress(file.getvalue())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no xz",
        lzma.compress(b"no zip"),
        rewritten()[:200],
        rewritten(user__loss=lambda _: None),
        rewritten(user__negatives=lambda _: None),
        rewritten(bins__rows=lambda _: None),
        rewritten(user__loss=lambda x: x[:, 1:]),
        rewritten(user__loss=lambda x: np.full(x.shape[1], np.nan)),
        rewritten(user__loss=lambda x: np.full(x.shape[1], -1.0)),
        rewritten(user__doubled_wins=lambda x: x.astype(int) * 100 + 1),
        rewritten(user__doubled_wins=lambda x: x + 0.5),
        rewritten(user__predicted=lambda x: np.full(x.shape[1], 1e6)),
        rewritten(user__predicted=lambda x: np.full(x.shape[1], 0.5)),
        rewritten(request__positive_placements=lambda x: np.full(len(x), 2_000_000)),
        rewritten(user__negative_placements=lambda x: x - (np.arange(len(x)) == x.argmax())),
        rewritten(user__positive_placements=lambda x: x / 2),
        rewritten(request__MRR=lambda x: np.full(x.shape[1], 99.0)),
        rewritten(request__requests=lambda x: x[1:]),
        rewritten(user__cluster=lambda x: x * (np.arange(len(x)) != 3)),
        rewritten(user__positives=lambda x: x.astype(int) - 1000),
        rewritten(user__loss=lambda x: np.array([None] * x.shape[1])),
        rewritten(bins__rows=lambda x: x + 1),
        rewritten("valid", user__positives=lambda _: None),
        rewritten("valid", total__positives=lambda x: x - 1),
        rewritten("valid", total__loss=lambda _: None),
        rewritten("valid", request__doubled_wins=lambda x: x.astype(int) * 100 + 1),
    ],
    ids=range(27),
)
def test_what_contradicts_itself_is_refused(content):
    with pytest.raises(InputError, match="statistics as they were written"):
        unpack(content)


@pytest.mark.parametrize("log", [True, False])
def test_placements_are_exact(log):
    """They are numbers of pairs, so that AUC and its variance lose nothing on the way."""
    scores = columns(5)
    made = cluster_statistics(scores["user"], scores["label"], scores["score"])
    found = unpack(pack({"test": evidence_of(scores, log)}))["test"].clusters["user"]
    for name in PLACEMENTS:
        assert found.sums_of(name) == pytest.approx(made.sums_of(name), rel=1e-14, abs=0)
    assert (found.predicted is not None) == log


def test_rounding_moves_no_mean_by_a_millionth():
    loss = np.random.default_rng(0).exponential(0.5, 700)
    kept = unpacked(packed({"loss": loss}))["loss"]
    assert 0 < abs(kept.mean() - loss.mean()) < 1e-6
    assert packed({"loss": kept}) == packed({"loss": loss})


def test_numbers_nearly_alike_keep_their_sum():
    above = np.linspace(0, 0.45, 700)  # in units of what is kept: all of these would be rounded down
    loss = np.concatenate([(kept + above) * 2.0**-16 for kept in (35_000, 36_000, 37_000)])
    found = unpacked(packed({"loss": loss}))["loss"]
    assert found.mean() == pytest.approx(loss.mean(), rel=5e-7)
    assert packed({"loss": found}) == packed({"loss": loss})


def test_it_is_small():
    """Some eight bytes a user and model."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(5000), 20)
    label = np.tile([1.0] + [0.0] * 19, 5000)
    scores = {"user": user, "label": label, "score": rng.random(len(user)).astype(np.float32)}
    assert len(pack({"test": evidence_of(scores, False)})) < 5000 * 8


def test_what_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(packing, "LIMIT", 10_000)
    with pytest.raises(InputError, match="Got no end"):
        unpack(lzma.compress(bytes(100_000)))


def test_equal_numbers_are_kept_once_and_come_back_exactly():
    few, single = np.tile([0.1, 0.25, 3.0], 100), np.linspace(0.1, 1, 256)
    found = unpacked(packed({"few": few, "single": single, "many": np.linspace(0, 1, 300)}))
    assert found["few"].tolist() == few.astype(np.float32).astype(float).tolist()
    assert found["single"].tolist() == single.astype(np.float32).astype(float).tolist()
    assert found["many"] == pytest.approx(np.linspace(0, 1, 300), rel=2.0**-16, abs=0)
    codes = {"few": np.full(4, 3, np.uint8), "few!values": np.zeros((4, 3), np.uint8)}
    file = io.BytesIO()
    np.savez(file, **codes)
    with pytest.raises(InputError, match="statistics as they were written"):
        unpacked(lzma.compress(file.getvalue()))
