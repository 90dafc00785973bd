"""Devices by ONNX Runtime's names: here there is one, the CPU, and its memory."""

from __future__ import annotations

import enum
import functools
import platform
from typing import Any

from sardonyx.core.errors import InvalidArgument, SardonyxError
from sardonyx.session.options import impossible


class OrtDeviceVendorId(enum.IntEnum):
    """The PCI numbers of vendors."""

    NONE = 0x0000
    AMD = 0x1002
    NVIDIA = 0x10DE
    ARM = 0x13B5
    MICROSOFT = 0x1414
    HUAWEI = 0x19E5
    QUALCOMM = 0x5143
    INTEL = 0x8086


class OrtMemType(enum.IntEnum):
    """What memory is for; all of it is the CPU's."""

    CPU_INPUT = -2
    CPU_OUTPUT = -1
    CPU = -1
    DEFAULT = 0


class OrtAllocatorType(enum.IntEnum):
    """Kept for scripts that name one; memory comes from numpy and from arenas of our own."""

    INVALID = -1
    ORT_DEVICE_ALLOCATOR = 0
    ORT_ARENA_ALLOCATOR = 1


class OrtMemoryInfoDeviceType(enum.IntEnum):
    """What kind of device memory belongs to."""

    CPU = 0
    GPU = 1
    FPGA = 2
    NPU = 3


class OrtDeviceMemoryType(enum.IntEnum):
    """Which memory of a device."""

    DEFAULT = 0
    HOST_ACCESSIBLE = 5


class OrtHardwareDeviceType(enum.IntEnum):
    """What kind of hardware a device is."""

    CPU = 0
    GPU = 1
    NPU = 2


_TYPES = {"cpu": 0, "cuda": 1, "gpu": 1, "webgpu": 1, "fpga": 2, "cann": 3, "npu": 3, "dml": 4}
_VENDORS = {
    "cuda": OrtDeviceVendorId.NVIDIA,
    "dml": OrtDeviceVendorId.MICROSOFT,
    "cann": OrtDeviceVendorId.HUAWEI,
}


class OrtDevice:
    """A device and a memory of it: `OrtDevice(type, memory, [vendor,] id)`, or another OrtDevice.

    Any device can be named; values live on the CPU only (InvalidArgument E0208 elsewhere).
    """

    def __init__(self, c_ort_device: Any, memory: int = 0, *rest: int) -> None:
        self._all: tuple[int, int, int, int]
        if isinstance(c_ort_device, OrtDevice):
            self._all = c_ort_device._all
            return
        if len(rest) not in (1, 2) or not isinstance(c_ort_device, int):
            raise InvalidArgument(
                "E0233", "a device is a type, a memory and a number", given=(c_ort_device, *rest)
            )
        self._all = (int(c_ort_device), int(memory), int(rest[0]) if rest[1:] else 0, int(rest[-1]))

    @staticmethod
    def make(ort_device_name: str, device_id: int, vendor_id: int = -1) -> OrtDevice:
        """The device of a name such as cpu, cuda or npu; InvalidArgument (E0208) for another."""
        kind = _TYPES.get(ort_device_name)
        if kind is None:
            raise _no_device(ort_device_name, ", ".join(_TYPES))
        vendor = vendor_id if vendor_id >= 0 else _VENDORS.get(ort_device_name, 0)
        return OrtDevice(kind, 0, int(vendor), device_id)

    def device_type(self) -> int:
        """The number of the kind of device: 0 is the CPU."""
        return self._all[0]

    def device_mem_type(self) -> int:
        """The number of the memory: 0 is the device's own."""
        return self._all[1]

    def device_vendor_id(self) -> int:
        """The vendor's PCI number, 0 where it is none's."""
        return self._all[2]

    def device_id(self) -> int:
        """Which of the devices of its kind."""
        return self._all[3]

    mem_type = device_mem_type
    vendor_id = device_vendor_id

    @staticmethod
    def default_memory() -> int:
        """The number of a device's own memory."""
        return 0

    def _get_c_device(self) -> OrtDevice:
        return self

    def __repr__(self) -> str:
        return f"OrtDevice{self._all}"


for _name, _number in _TYPES.items():
    setattr(OrtDevice, _name, staticmethod(functools.partial(int, _number)))


def _no_device(name: object, wanted: str = "cpu") -> InvalidArgument:
    return InvalidArgument("E0208", f"there is no device `{name}` here", wanted=wanted)


def check_device(device: Any) -> None:
    """InvalidArgument (E0208) for any device but the CPU, a name or an OrtDevice."""
    if isinstance(device, OrtDevice):
        if device.device_type() != 0:
            raise _no_device(device)
    elif str(device).lower() != "cpu":
        raise _no_device(device)


class OrtMemoryInfo:
    """Which memory an allocator serves; every one that can be had is the CPU's."""

    def __init__(
        self,
        name: str,
        allocator_type: OrtAllocatorType,
        device_id: int,
        mem_type: OrtMemType,
        *,
        memory: OrtDeviceMemoryType = OrtDeviceMemoryType.DEFAULT,
        vendor: int = 0,
    ) -> None:
        self.name = name
        self.allocator_type = OrtAllocatorType(allocator_type)
        self.device_id = device_id
        self.mem_type = OrtMemType(mem_type)
        self.device_mem_type = memory
        self.device_vendor_id = vendor

    @staticmethod
    def create_v2(
        name: str,
        device_type: OrtMemoryInfoDeviceType,
        vendor_id: int,
        device_id: int,
        mem_type: OrtDeviceMemoryType,
        alignment: int,
        allocator_type: OrtAllocatorType,
    ) -> OrtMemoryInfo:
        """The same, with the vendor and kind of memory; InvalidArgument (E0208) but for the CPU."""
        del alignment
        if OrtMemoryInfoDeviceType(device_type) is not OrtMemoryInfoDeviceType.CPU:
            raise _no_device(device_type)
        return OrtMemoryInfo(
            name, allocator_type, device_id, OrtMemType.DEFAULT,
            memory=OrtDeviceMemoryType(mem_type), vendor=vendor_id,
        )  # fmt: skip


def cpu_memory() -> OrtMemoryInfo:
    """The memory that inputs and outputs are in."""
    return OrtMemoryInfo("Cpu", OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, OrtMemType.DEFAULT)


class OrtHardwareDevice:
    """A piece of hardware that models can run on."""

    type = OrtHardwareDeviceType.CPU
    device_id = 0

    def __init__(self) -> None:
        self.vendor = platform.processor() or platform.machine()
        self.vendor_id = OrtDeviceVendorId.NONE
        self.metadata: dict[str, str] = {}


class OrtEpDevice:
    """A provider together with the hardware it runs on."""

    ep_vendor = "Sardonyx"

    def __init__(self, ep_name: str, version: str) -> None:
        self.ep_name = ep_name
        self.ep_metadata = {"version": version}
        self.ep_options: dict[str, str] = {}
        self.device = OrtHardwareDevice()

    def memory_info(self, memory_type: OrtDeviceMemoryType) -> OrtMemoryInfo:
        """NotImplemented: a CPU has no memory besides that of numpy arrays."""
        raise _only_memory(OrtDeviceMemoryType(memory_type).name)

    def create_sync_stream(self) -> Any:
        """NotImplemented: runs are over when they return."""
        raise _only_memory("stream")


def _only_memory(name: str) -> SardonyxError:
    return impossible(f"the CPU has no {name} of its own", "pass numpy arrays, which are there")
