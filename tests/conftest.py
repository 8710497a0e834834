"""How the tests are shared out among processes (`-n 2 --dist loadgroup`)."""

import pytest


def pytest_collection_modifyitems(items):
    """A file's tests stay together: what they set up is set up once."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
