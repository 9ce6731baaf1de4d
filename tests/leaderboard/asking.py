"""What the tests ask of a leaderboard of the tiny data set."""

from recbole_marn.leaderboard.render import LeaderboardRequest


def request(common, **more):
    settings = {"models": ["LR", "Popularity"], "seeds": 2, "anchors": False, "resamples": 20, "show_progress": False}
    return LeaderboardRequest("tiny", settings=common, **{**settings, **more})


def tuning(tmp_path, choices="all: {learning_rate: [0.0001]}", **more):
    space = tmp_path / "space.yaml"
    space.write_text(choices + "\n")
    return {"models": ["LR"], "seeds": 1, "tune": 2, "space": str(space), **more}
