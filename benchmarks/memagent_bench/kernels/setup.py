"""Setup of the kernel benchmark: goals, sizes, device, and the findings so far.

Everything that differs between a CPU and a GPU is a size here or a clock. Knows nothing of how
any operation is timed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from memagent.errors import InputError
from memagent_bench.kernels.clock import Clock, DeviceClock, HostClock, Times
from memagent_bench.report import CheckError

if TYPE_CHECKING:
    import torch

__all__ = ["BUDGETS", "CPU", "GPU", "TINY", "Findings", "Goal", "Setup", "Sizes", "relative_error"]

Impl = Literal["auto", "triton", "torch", "reference"]
# Largest relative error ||out - float64|| / ||float64|| at each dtype; twice that for gradients.
BUDGETS = {"float32": 1e-4, "float16": 3e-3, "bfloat16": 1e-2}


@dataclass(frozen=True, slots=True)
class Goal:
    """A metric with a required and a target value; `above` says whether larger is better."""

    metric: str
    must: float
    aim: float
    above: bool

    def row(self, value: float) -> dict[str, Any]:
        """A row with the goal and the measured value."""
        sign = 1 if self.above else -1
        reached = "aim" if sign * value >= sign * self.aim else "must"
        met = reached if sign * value >= sign * self.must else "no"
        row = {"name": "goal", "metric": self.metric, "value": value}
        return {**row, "must": self.must, "aim": self.aim, "met": met}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Measured sizes: lengths are in keys, chunk and window in tokens, memory in bytes."""

    dtype: str
    checked: tuple[str, ...]  # dtypes of the checks
    heads: int
    kv_heads: int
    dim: int
    histories: tuple[int, ...]
    window: int
    top: int  # pages that are selected
    chunk: int  # of prefill
    trained: int  # tokens of a training step
    copied: int
    product: int  # rows and columns of the matrix product
    seconds: float  # of each measurement
    page: int = 64
    rotated: int = 0  # input sets together touch more than this, several times a cache
    held: int = 2**30  # at most so much for the layers of one history
    memory: int | None = None  # of the device, in all
    flex: bool = False
    goals: tuple[Goal, ...] = ()

    def sets(self, keys: int) -> int:
        """Number of distinct layers for a history of `keys`."""
        number = 4 if self.dtype == "float32" else 2
        row = self.kv_heads * self.dim * number
        pages = 1 + self.top + self.window // self.page
        touched = row * (keys // self.page + 2 * pages * self.page)
        return max(1, min(-(-self.rotated // touched), self.held // (2 * keys * row)))


TINY = Sizes(
    dtype="float32",
    checked=("float32", "bfloat16"),
    heads=4,
    kv_heads=2,
    dim=32,
    histories=(1024, 2048),
    window=128,
    top=4,
    chunk=128,
    trained=256,
    copied=2**22,
    product=256,
    seconds=0.02,
)
CPU = Sizes(
    dtype="float32",
    checked=("float32", "float16", "bfloat16"),
    heads=8,
    kv_heads=2,
    dim=64,
    histories=(4096, 16384, 65536),
    window=512,
    top=16,
    chunk=64,
    trained=512,
    copied=2**27,
    product=1024,
    seconds=0.2,
)
GPU = Sizes(
    dtype="bfloat16",
    checked=("float32", "float16", "bfloat16"),
    heads=32,
    kv_heads=8,
    dim=128,
    histories=(131072, 1048576),
    window=1024,
    top=64,
    chunk=2048,
    trained=4096,
    copied=2**32,
    product=8192,
    seconds=0.3,
    rotated=400 * 10**6,
    held=28 * 10**9,
    memory=70 * 10**9,
    flex=True,
    goals=(
        Goal("dense_share", 0.80, 0.88, above=True),
        Goal("decode_over_sdpa@131072", 0.30, 0.20, above=False),
        Goal("decode_over_sdpa@1048576", 0.10, 0.05, above=False),
        Goal("prefill_speedup@131072", 4, 7, above=True),
        Goal("prefill_speedup@1048576", 25, 45, above=True),
    ),
)


@dataclass(slots=True)
class Setup:
    """The device, its clock, the implementation, and one random number generator."""

    sizes: Sizes
    impl: Impl
    device: torch.device
    dtype: torch.dtype
    clock: Clock
    seed: int
    generator: torch.Generator

    @classmethod
    def of(cls, size: str, impl: Impl, seed: int | None) -> Setup:
        """The sizes called `size`, on the GPU if there is one."""
        import torch

        if size not in ("tiny", "full"):
            raise InputError(f"no size {size!r}: choose tiny or full")
        cuda = torch.cuda.is_available()
        sizes = TINY if size == "tiny" else GPU if cuda else CPU
        device = torch.device("cuda" if cuda else "cpu")
        if cuda and sizes.memory is not None:
            total = torch.cuda.get_device_properties(device).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, sizes.memory / total))
        if impl == "auto":
            impl = "triton" if cuda else "torch"
        clock: Clock = DeviceClock(sizes.seconds) if cuda else HostClock(sizes.seconds)
        if seed is None:
            seed = random.SystemRandom().randrange(2**31)
        generator = torch.Generator(device).manual_seed(seed)
        return cls(sizes, impl, device, getattr(torch, sizes.dtype), clock, seed, generator)

    def random(self, *shape: int) -> torch.Tensor:
        """Normally distributed numbers in the measured dtype."""
        import torch

        return torch.randn(shape, dtype=self.dtype, device=self.device, generator=self.generator)

    @property
    def checked(self) -> tuple[str, ...]:
        """Dtypes of the checks; Triton's interpreter on a CPU has no true bfloat16."""
        if self.impl == "triton" and self.device.type == "cpu":
            return tuple(name for name in self.sizes.checked if name != "bfloat16")
        return self.sizes.checked


@dataclass(slots=True)
class Findings:
    """Rows, metrics and notes; shares are relative to `ceiling` (GB/s)."""

    tell: Callable[[str], None]
    rows: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    ceiling: float = 0.0
    tflops: float = 0.0

    def time(
        self,
        name: str,
        times: Times,
        *,
        keys: int | None = None,
        bytes: int | None = None,
        flops: float | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> float:
        """Add the row of one measurement; returns its median in microseconds."""
        row: dict[str, Any] = {"name": name}
        if keys is not None:
            row["keys"] = keys
        row |= times.row()
        if bytes is not None:
            row |= {"bytes": bytes, "gb_s": round(bytes / times.us / 1000, 2)}
            if self.ceiling:
                row["share"] = round(bytes / times.us / 1000 / self.ceiling, 4)
        if flops is not None:
            row |= {"flops": flops, "tflops": round(flops / times.us / 1e6, 3)}
            if self.tflops:
                row["flops_share"] = round(flops / times.us / 1e6 / self.tflops, 4)
        self.rows.append({**row, **(more or {})})
        return times.us

    def check(self, name: str, dtype: str, error: float, budget: float | None = None) -> float:
        """Add the row of one check; raises CheckError if the error exceeds the budget or is NaN."""
        budget = BUDGETS[dtype] if budget is None else budget
        if not error <= budget:
            raise CheckError(f"{name} in {dtype}: error {error:.2e}, at most {budget:.0e} allowed")
        self.rows.append({"name": name, "dtype": dtype, "error": error, "budget": budget})
        return error

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """||found - expected|| / ||expected|| in float64; infinities must agree."""
    import torch

    if found.shape != expected.shape:
        raise CheckError(f"a result is {tuple(found.shape)}, not {tuple(expected.shape)}")
    one, other = (tensor.detach().double().cpu() for tensor in (found, expected))
    difference = torch.where(one == other, 0.0, one - other)
    size = other.masked_fill(other.isinf(), 0.0).norm().item()
    return float(difference.norm().item() / (size or 1.0))
