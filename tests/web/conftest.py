"""One relay for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from house import House, World


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"))
    yield house
    house.close()


@pytest.fixture
def world(house: House) -> World:
    """Nobody there yet."""
    return World(house)


@pytest.fixture
def met(world: World) -> World:
    """With its order."""
    return world.mint()
