"""The data set `tiny` as six models get it. Imports are inside, for most tests here need neither RecBole nor torch."""

import collections

import pytest
import tiny


@pytest.fixture(scope="session")
def loaders(data_path):
    """model -> part -> loader."""
    from token_rows import MODELS, build

    return {model: build(tiny.settings(data_path, model)) for model in MODELS}


@pytest.fixture(scope="session")
def rows(loaders):
    """model -> part -> rows."""
    from token_rows import token_rows

    return {
        model: {part: token_rows(loader, model) for part, loader in parts.items()} for model, parts in loaders.items()
    }


@pytest.fixture(scope="session")
def events(data_path):
    """user -> events (time, item, kind), oldest first."""
    by_user = collections.defaultdict(list)
    for user, item, time, kind in tiny.read_events(data_path):
        by_user[user].append((time, item, kind))
    return {user: sorted(seen) for user, seen in by_user.items()}
