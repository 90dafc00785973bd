"""What every test can rely on: seeded randomness, golden texts, and no network."""

from __future__ import annotations

import ipaddress
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
# What tests run is small, and other cores run other tests; numpy reads it when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A job in the background is started with SIGINT ignored, and so would be all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

GOLDEN = Path(__file__).parent / "golden"

Golden = Callable[[str, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite tests/golden with what was produced"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Compiled code goes to a folder that all workers of the run share, not to the user's."""
    if "SARDONYX_CACHE_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="sardonyx-tests-")
        os.environ["SARDONYX_CACHE_DIR"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: a worker for each core that this process may keep busy, quotas counted."""
    from sardonyx.core.cores import usable_cores

    return usable_cores()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = config.getoption("-m") or ""
    left = {name for name in ("exhaustive", "conversions") if name not in asked}
    out = [item for item in items if any(item.get_closest_marker(name) for name in left)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator seeded by the test's own name: alone or in the crowd, the same numbers."""
    import numpy as np

    return np.random.default_rng(list(request.node.nodeid.encode()))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """`golden(name, text)` asserts that text equals tests/golden/<name>, or rewrites it."""
    update = bool(request.config.getoption("--update-golden"))

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.exists(), f"no golden text {name}: run pytest --update-golden and read the diff"
        assert text == path.read_text(encoding="utf-8"), f"golden text {name} changed"

    return check


def _loopback(address: object) -> bool:
    if not isinstance(address, tuple):
        return True  # a unix socket's path
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return bool(address[0] == "localhost")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaves the machine: a connection or a name look-up beyond loopback fails the test."""
    connect, lookup = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: object) -> None:
        if not _loopback(address):
            pytest.fail(f"a test tried to connect to {address!r}")
        connect(self, address)  # type: ignore[arg-type]

    def guarded_lookup(host: object, *rest: object, **named: object) -> object:
        if host is not None and not _loopback((host, 0)):
            pytest.fail(f"a test tried to look up {host!r}")
        return lookup(host, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_lookup)
