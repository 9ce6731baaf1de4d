"""What the trials of a search decide, at once or round after round."""

import pytest

from recbole_marn.leaderboard.search import best_trials, number_going_on, passes_of_rounds, search_told, unfair_rounds


def trial(run, score, *, bigger=True, epochs=1, rate=0.1):
    settings = {"model": "LR", "epochs": epochs, "learning_rate": rate}
    return {"run": run, "best_valid_score": score, "valid_score_bigger": bigger, "settings": settings}


def test_the_best_trial_on_validation_is_chosen():
    up = [trial("a", 0.7), trial("b", 0.8), trial("c", 0.8)]
    assert [found["run"] for found in best_trials(up, 2)] == ["b", "c"]
    for (first, score), best in ((("a", 0.7), "a"), (("a", None), "b")):
        down = [trial(first, score, bigger=False), trial("b", 0.8, bigger=False)]
        assert [found["run"] for found in best_trials(down, 1)] == [best]
    told = search_told(up, {"learning_rate": [0.1, 0.2, 0.3]})
    assert told["trials"] == 3 and told["chosen"] == "b" and told["space"] == {"learning_rate": [0.1, 0.2, 0.3]}
    assert "rounds" not in told


@pytest.mark.parametrize(
    ("epochs", "passes"),
    [(1, [1]), (2, [1, 2]), (3, [1, 3]), (4, [1, 3, 4]), (9, [1, 3, 9]), (10, [1, 3, 9, 10]), (28, [1, 3, 9, 27, 28])],
)
def test_passes_of_rounds(epochs, passes):
    assert passes_of_rounds(epochs) == passes


def test_a_third_goes_on_and_never_none():
    assert [number_going_on(number) for number in (1, 2, 3, 4, 8, 9, 10)] == [1, 1, 1, 2, 3, 3, 4]


def halved():
    """Four settings, of which the best two of the first round have a second, and the other wins."""
    rates = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}
    first = [trial(run, score, rate=rates[run]) for run, score in (("a", 0.5), ("b", 0.8), ("c", 0.7), ("d", None))]
    return [*first, trial("b3", 0.81, epochs=3, rate=0.2), trial("c3", 0.9, epochs=3, rate=0.3)]


def test_the_last_round_decides():
    told = search_told(halved(), {}, halving=True)
    assert (told["trials"], told["chosen"], told["best_valid_score"]) == (4, "c3", 0.9)
    assert told["rounds"] == [[1, 4], [3, 2]] and told["compared"] == ["a", "b", "c", "d", "b3", "c3"]
    # 27 epochs: one goes on after three, so that nothing is left to decide.
    assert unfair_rounds(halved(), 27) == [] and unfair_rounds(halved(), 3) == []


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (lambda trials: trials[-1]["settings"].update(learning_rate=0.1), [3]),  # a, in place of the better c
        (lambda trials: trials.pop(), [3]),
        (lambda trials: trials[0].update(best_valid_score=0.75), [3]),  # a should have gone on, not c
        (lambda trials: trials.append(trial("b9", 0.99, epochs=9, rate=0.2)), [9]),  # a round too many
        (lambda trials: trials[-1]["settings"].update(epochs=2), [3, 2]),
    ],
)
def test_rounds_that_are_not_of_the_best_are_found(edit, found):
    trials = halved()
    edit(trials)
    assert unfair_rounds(trials, 27) == found


def test_a_round_that_is_missing_is_found():
    assert unfair_rounds(halved()[:4], 27) == [3]
