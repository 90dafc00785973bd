"""Calls about the process that mean nothing here are accepted, and wrong ones refused."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

import sardonyx as sx

STATE = sx.capi.onnxruntime_pybind11_state


@pytest.mark.parametrize(
    "call",
    [
        lambda: sx.set_default_logger_severity(4),
        lambda: sx.set_default_logger_verbosity(1),
        lambda: sx.set_default_logger_callback(print, 3),
        lambda: sx.set_global_thread_pool_sizes(2, 1),
        lambda: sx.create_and_register_allocator(
            sx.OrtMemoryInfo("Cpu", sx.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, sx.OrtMemType.CPU),
            sx.OrtArenaCfg(8, 0, 4, 2),
        ),
        sx.preload_dlls,
        sx.print_debug_info,
        lambda: sx.set_seed(3),
    ],
)
def test_accepted(call: Callable[[], Any]) -> None:
    call()


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: sx.set_default_logger_severity(5), "E0257"),
        (lambda: sx.OrtArenaCfg({"size": 3}), "E0257"),
        (lambda: sx.register_execution_provider_library("x", "x.so"), "E0256"),
        (lambda: sx.unregister_execution_provider_library("x"), "E0256"),
        (lambda: sx.SessionOptions().register_custom_ops_library("x.so"), "E0256"),
        (sx.OrtSyncStream, "E0256"),
        (STATE.get_session_initializer, "E0256"),
        (sx.get_ep_devices()[0].create_sync_stream, "E0256"),
    ],
)
def test_refused(call: Callable[[], Any], code: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        call()
    assert isinstance(caught.value, sx.SardonyxError)
    assert caught.value.code == code


def test_sizes_of_an_arena() -> None:
    assert sx.OrtArenaCfg(8, 0, 4, 2).initial_chunk_size_bytes == 4
    assert sx.OrtArenaCfg({"max_mem": 4}).max_mem == 4


def test_lists_of_operators_and_kernels() -> None:
    schemas = {(s.domain, s.name, s.since_version) for s in STATE.get_all_operator_schema()}
    assert ("", "Abs", 6) in schemas
    kernels = [k for k in STATE.get_all_opkernel_def() if (k.domain, k.op_name) == ("", "Abs")]
    starts = sorted(k.version_range for k in kernels)
    assert all(end + 1 == begin for (_, end), (begin, _) in itertools.pairwise(starts))


def test_providers_by_their_devices() -> None:
    options = sx.SessionOptions()
    options.add_provider_for_devices(sx.get_ep_devices()[:1], {})
    assert options.has_providers()
    assert options.providers == [("CPUExecutionProvider", {})]
