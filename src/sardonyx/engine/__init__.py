"""From graph to machine code: fusion, planning, LLVM, threads."""
