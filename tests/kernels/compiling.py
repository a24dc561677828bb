"""Compile the kernels for GPUs that need not be present; print what ptxas reports as JSON.

Run without TRITON_INTERPRET: `python tests/kernels/compiling.py 90 [name …]`.
"""

import contextlib
import io
import json
import re
import sys
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from memagent.kernels import (
    AttentionParams,
    attend,
    landmark,
    mass,
    merge,
    rotate,
    score,
    select,
    summarize,
)

SHORT = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32"}
FLOATS = {"scale", "cap", "back"}
# Addresses and strides of real tensors are multiples of 16; counts need not be.
ALIGNED = re.compile(r"^[a-z]_[a-z]$")
LISTS = dict.fromkeys(("pages", "page_pos", "page_lo", "page_hi", "page_group"), "*i32")


def compiled(kernel: Any, types: dict[str, str], constants: dict[str, Any], target: int, **options):
    """The kernel for one target; whatever has no type is a whole number."""
    names = kernel.arg_names
    signature = {n: types.get(n, "fp32" if n in FLOATS else "i32") for n in names}
    signature.update(dict.fromkeys(constants, "constexpr"))
    aligned = [
        i
        for i, name in enumerate(names)
        if name not in constants and (signature[name][0] == "*" or ALIGNED.match(name))
    ]
    source = ASTSource(
        fn=kernel,
        signature=signature,
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={(i,): [["tt.divisibility", 16]] for i in aligned},
    )
    return triton.compile(source, target=GPUTarget("cuda", target, 32), options=options)


def attending(
    dtype, dim, *, tokens=1, group=4, slots=64, mark=None, softcap=None, window=None,
    lists="*i32", ones=(),
):  # fmt: skip
    """Attention as the product would start it; Triton compiles a count of 1 in."""
    made = attend.plan(group, tokens, slots, dim, dtype)
    params = AttentionParams(torch.ones(dim // 2), dim**-0.5, softcap, window, mark)
    constants = attend.constants(group, dim, slots, dtype, params, True, made)
    kind = "*" + SHORT[dtype]
    types = {
        **dict.fromkeys(LISTS, lists), **dict.fromkeys(("q", "keys", "values"), kind),
        "q_pos": "*i64", "turns": "*i64", "bias": "*fp32", "lse": "*fp32", "entry_lse": "*fp32",
        "out": "*fp32" if tokens == 1 else kind,
    }  # fmt: skip
    constants.update(q_d=1, k_d=1, v_d=1, **dict.fromkeys(ones, 1))
    if tokens == 1:
        constants["tokens"] = 1
    return attend._attend, types, constants, made._asdict()


def training(step, dtype, dim, block=64):
    """One pass of landmark attention."""
    names = ("q", "k", "v", "do", "out", "dq", "dk", "dv")
    types = {**dict.fromkeys(names, "*" + SHORT[dtype]), "lse": "*fp32", "deltas": "*fp32"}
    kernel = getattr(landmark, step)
    constants = landmark.constants(4, dim, block, dtype)
    types = {name: kind for name, kind in types.items() if name in kernel.arg_names}
    return kernel, types, constants, landmark.options(dim)


BF16, FP16 = torch.bfloat16, torch.float16
EVERYTHING = {"mark": 63, "softcap": 50.0, "window": 4096}
JOBS = {
    "decode bf16 128": attending(BF16, 128),
    "decode bf16 64": attending(BF16, 64),
    "decode fp16 128 landmark": attending(FP16, 128, mark=63),
    "decode bf16 128 everything": attending(BF16, 128, group=8, **EVERYTHING),
    "decode bf16 256 softcap": attending(BF16, 256, softcap=50.0),
    "decode fp16 80": attending(FP16, 80, group=7, lists="*i64"),
    "decode bf16 128 ones": attending(
        BF16, 128, ones=("kv_heads", "list_heads", "groups", "entries", "per_split")
    ),
    "prompt bf16 128": attending(BF16, 128, tokens=2048),
    "prompt fp16 64 everything": attending(FP16, 64, tokens=2048, **EVERYTHING),
    "prompt fp16 128 window": attending(FP16, 128, tokens=2048, window=4096),
    "merge": (
        merge._merge,
        {"outs": "*fp32", "lses": "*fp32", "out": "*bf16", "lse": "*fp32"},
        {"block_s": 32, "block_d": 128},
        {},
    ),
    "mass": (
        mass._mass,
        {"entry_lse": "*fp32", "lse": "*fp32", "page_group": "*i32", "out": "*fp32"},
        {"block_t": 32, "block_e": 32, "block_g": 64},
        {},
    ),
    "rotate": (
        rotate._rotate,
        {"x": "*bf16", "position": "*i64", "turns": "*i64", "out": "*bf16"},
        {"x_d": 1, "dim": 128, "block_t": 16, "block_h": 64},
        {},
    ),
    "summarize": (
        summarize._summarize,
        {"keys": "*bf16", "mean": "*bf16", "low": "*bf16", "high": "*bf16"}
        | {name: LISTS[name] for name in ("pages", "page_lo", "page_hi")},
        {"k_d": 1, "block_p": 64, "block_d": 128},
        {},
    ),
    "score bound": (
        score._score,
        {"rows": "*bf16", "high": "*bf16", "low": "*bf16", "out": "*fp32"},
        {
            "h_d": 1,
            "l_d": 1,
            "dim": 128,
            "bound": True,
            "single": False,
            "keep": False,
            "exact": "tf32",
        }
        | {"block_r": 16, "block_n": 64, "block_d": 128},
        {},
    ),
    "score mean": (
        score._score,
        {"rows": "*fp32", "high": "*bf16", "low": "*bf16", "out": "*fp32"},
        {
            "h_d": 1,
            "l_d": 1,
            "dim": 128,
            "bound": False,
            "single": True,
            "keep": False,
            "exact": "tf32",
        }
        | {"block_r": 16, "block_n": 64, "block_d": 128},
        {},
    ),
    "select": (
        select._select,
        {"scores": "*fp32", "out": "*i32"},
        {"chunk": 16384},
        {"num_warps": 16},
    ),
    "landmark forward": training("_forward", BF16, 64),
    "landmark backward q": training("_backward_q", BF16, 64),
    "landmark backward kv": training("_backward_kv", BF16, 64),
    "landmark forward 128": training("_forward", FP16, 128),
    "landmark backward kv 128": training("_backward_kv", FP16, 128),
}


def usage(log: str) -> dict[str, int]:
    """Registers and spilled bytes, as ptxas reports them."""
    stores, loads = re.findall(r"(\d+) bytes spill (?:stores|loads)", log)
    (registers,) = re.findall(r"Used (\d+) registers", log)
    return {"registers": int(registers), "stored": int(stores), "loaded": int(loads)}


def main(target: int, names: list[str]) -> None:
    # ptxas speaks only when it runs: nothing may come out of a cache.
    triton.knobs.compilation.always_compile = True
    triton.knobs.nvidia.dump_ptxas_log = True
    found = {}
    for name in names or JOBS:
        kernel, types, constants, options = JOBS[name]
        options = {k: v for k, v in options.items() if k.startswith("num_")}
        log = io.StringIO()
        with contextlib.redirect_stdout(log):
            made = compiled(kernel, types, constants, target, **options)
        found[name] = usage(log.getvalue())
        found[name] |= {"cubin": len(made.asm["cubin"]), "shared": made.metadata.shared}
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
