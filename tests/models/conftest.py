import planted
import pytest


@pytest.fixture(scope="session")
def planted_paths(tmp_path_factory):
    """RecBole's data_path of the planted data set by what decides the click; nobody writes to them."""
    paths = {}
    for by in ("image", "ids", "nothing"):
        paths[by] = tmp_path_factory.mktemp(by)
        planted.write_planted(paths[by], by="image" if by == "nothing" else by, taste=by != "nothing")
    return paths
