"""One relay for all tests of a file, and one Chromium for all of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shop import Shop, open_shop

from relay.ledger.opened import Opened


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture(scope="module")
def opened(shop: Shop) -> Opened:
    """The running relay's ledger."""
    return shop.opened
