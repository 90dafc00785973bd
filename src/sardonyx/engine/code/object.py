"""LLVM text to an object file, to assembly, to a verified module.

The text is taken as it is: on kernels written in vectors, LLVM's own passes cost more than the
code generator and gain nothing that can be measured.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from llvmlite import binding

from sardonyx.core.errors import CompileError
from sardonyx.engine.code import fork

if TYPE_CHECKING:
    from sardonyx.loops.target import Target

LLVM = ".".join(map(str, binding.llvm_version_info))
REPORT = "this is a fault of Sardonyx; please report it with the model"
# The code generator's level: what 2 adds are passes over loops, which kernels come with unrolled
# and vectorised.
_OPT = 1


@functools.lru_cache
def _initialize() -> None:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()


@functools.lru_cache
def machine(cpu: str, features: str, triple: str = "") -> Any:
    """LLVM's target machine; a triple gives code for another kind of machine than this one."""
    if triple:
        _initialize()
    else:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        triple = binding.get_process_triple()
    return binding.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=_OPT, reloc="pic", codemodel="small"
    )


def parse(text: str) -> Any:
    """The verified module of an LLVM text; CompileError showing the line at fault."""
    fork.LLVM.check()
    try:
        module = binding.parse_assembly(text, context=binding.create_context())
        module.verify()
    except RuntimeError as error:
        raise CompileError("E0802", f"LLVM refuses the code: {error}", hint=REPORT) from None
    return module


def object_of(text: str, target: Target) -> bytes:
    """The object file of an LLVM text; CompileError where it does not parse or verify."""
    return compiled(text, target.cpu, target.feature_string, target.triple)


def compiled(text: str, cpu: str, features: str, triple: str = "") -> bytes:
    """As `object_of`, for LLVM's names of a CPU, its features and its kind of machine."""
    made: bytes = machine(cpu, features, triple).emit_object(parse(text))
    return made


def assembly_of(text: str, target: Target) -> str:
    """The assembly of an LLVM text, for reading."""
    whose = machine(target.cpu, target.feature_string, target.triple)
    made: str = whose.emit_assembly(parse(text))
    return made
