"""Machine code from LLVM: a builder with loops, and functions compiled for this processor.

LLVM comes with llvmlite (the extra `fast`), so no compiler is needed. This module needs it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import binding, ir

LANES = 16
BYTE, WORD, LONG, FLOAT, VOID = (
    ir.IntType(8),
    ir.IntType(32),
    ir.IntType(64),
    ir.FloatType(),
    ir.VoidType(),
)
WORDS, BYTES, FLOATS = (
    ir.VectorType(kind, count) for kind, count in ((WORD, LANES), (BYTE, 4 * LANES), (FLOAT, LANES))
)
TO_WORDS, TO_FLOATS = WORD.as_pointer(), FLOAT.as_pointer()


class Builder(ir.IRBuilder):
    """An `ir.IRBuilder` with loops that carry values from one turn to the next."""

    def loop(
        self,
        count: Any,
        carried: Sequence[Any],
        body: Callable[[Any, list[Any]], Sequence[Any]],
        *,
        start: Any = None,
    ) -> list[Any]:
        """Loop from `start` (default 0) to below `count`; returns the last values.

        `body(index, values)` returns the next values; `carried` are the first ones.
        """
        before, start = self.block, LONG(0) if start is None else start
        head, inside, after = (self.append_basic_block() for _ in range(3))
        self.branch(head)
        self.position_at_end(head)
        index = self.phi(LONG)
        values = [self.phi(first.type) for first in carried]
        index.add_incoming(start, before)
        for phi, first in zip(values, carried, strict=True):
            phi.add_incoming(first, before)
        self.cbranch(self.icmp_signed("<", index, count), inside, after)
        self.position_at_end(inside)
        results = body(index, values)
        index.add_incoming(self.add(index, LONG(1)), self.block)
        for phi, following in zip(values, results, strict=True):
            phi.add_incoming(following, self.block)
        self.branch(head)
        self.position_at_end(after)
        return values

    def when(self, condition: Any, body: Callable[[], None]) -> None:
        """Build the body where the condition holds."""
        with self.if_then(condition):
            body()

    def at(self, pointer: Any, *offsets: Any, kind: Any = None) -> Any:
        """The pointer moved by the offsets in elements, as a pointer to `kind`."""
        for offset in offsets:
            pointer = self.gep(pointer, [offset])
        return pointer if kind is None else self.bitcast(pointer, kind.as_pointer())

    def read(self, pointer: Any, *offsets: Any, kind: Any = None) -> Any:
        """Load the value there, without need of alignment beyond 4 bytes."""
        return self.load(self.at(pointer, *offsets, kind=kind), align=4)

    def splat(self, value: Any) -> Any:
        """The value in all lanes."""
        vector = ir.VectorType(value.type, LANES)
        first_lane = self.insert_element(ir.Constant(vector, ir.Undefined), value, WORD(0))
        return self.shuffle_vector(
            first_lane, ir.Constant(vector, ir.Undefined), ir.Constant(WORDS, [0] * LANES)
        )

    def counted(self, value: Any) -> Any:
        """The number of bits that are set in each lane."""
        kind = value.type
        name = f"llvm.ctpop.v{kind.count}i{kind.element.width}"
        known = self.module.globals.get(name) or ir.Function(
            self.module, ir.FunctionType(kind, (kind,)), name
        )
        return self.call(known, (value,))


def filled(kind: Any, value: int) -> Any:
    """A vector of the value."""
    return ir.Constant(kind, [value] * kind.count)


def function(
    module: ir.Module, name: str, kinds: Sequence[Any], *, internal: bool
) -> tuple[Builder, tuple[Any, ...]]:
    """A builder at the beginning of a new function, and the function's arguments.

    Its pointers must not alias.
    """
    made = ir.Function(module, ir.FunctionType(VOID, kinds), name)
    if internal:
        made.linkage = "internal"
    for argument, kind in zip(made.args, kinds, strict=True):
        if isinstance(kind, ir.PointerType):
            argument.add_attribute("noalias")
    return Builder(made.append_basic_block()), made.args


def features_here() -> dict[str, bool]:
    """What this processor can do, by LLVM's names."""
    return dict(binding.get_host_cpu_features())


def targeted(source: str, features: dict[str, bool] | None = None) -> tuple[Any, Any]:
    """(a checked module with code in LLVM's language, the processor to compile it for).

    `features`: of a lesser processor than this one, by LLVM's names; None for this one.
    """
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    enabled = features_here() if features is None else features
    listed = ",".join(f"{'+' if on else '-'}{name}" for name, on in enabled.items())
    # LLVM halves vectors where processors slow down with wide ones. Ours are wide on purpose.
    target = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=f"{listed},-prefer-256-bit" if enabled.get("avx512f") else listed,
        opt=3,
    )
    module = binding.parse_assembly(source)
    module.verify()
    return module, target


def compiled(
    source: str, names: Sequence[str], features: dict[str, bool] | None = None
) -> tuple[dict[str, int], Any]:
    """The addresses of functions by name, and what must be kept alive while they are used.

    `source`, `features`: as for `targeted`.
    """
    module, target = targeted(source, features)
    engine = binding.create_mcjit_compiler(module, target)
    engine.finalize_object()
    return {name: engine.get_function_address(name) for name in names}, engine


def bound(
    compiled: tuple[dict[str, int], Any], arguments: dict[str, str]
) -> dict[str, Callable[..., None]]:
    """The result of `compiled` as Python functions, which run without the GIL.

    `arguments`: for each name, a letter an argument: P a pointer, L an integer of 64 bits.
    """
    addresses, keep = compiled
    made: dict[str, Any] = {}
    for name, address in addresses.items():
        kinds = [ctypes.c_void_p if kind == "P" else ctypes.c_int64 for kind in arguments[name]]
        made[name] = ctypes.CFUNCTYPE(None, *kinds)(address)
        made[name].keep = keep  # or the code would be freed
    return made
