"""A plugin of pytest, found when the package is installed."""

import pytest

from . import parity


@pytest.fixture
def assert_parity():
    """`stitch_trace.assert_parity`."""
    return parity.assert_parity
