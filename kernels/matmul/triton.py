"""matmul in Triton: a program computes one tile of C as a sum of products of tiles, on tensor cores where the precision allows.

float32 is multiplied as IEEE float32, without tensor cores; TF32 and 3xTF32 are separate variants. The depth of a tile is fixed
for each dtype, because it decides the order of the sums. The other extents are tuned at the first call of each size, and
change no digit of the result.
"""

import threading

import torch
import triton
import triton.language as tl

from registry import register

INTERPRETED = triton.knobs.runtime.interpret  # on the CPU: one small tile, and bfloat16 operands converted to float32
DEPTHS = {torch.float16: 32, torch.bfloat16: 32, torch.float32: 32, torch.float64: 16}

# (rows, columns, warps, stages) of a tile, for each class of arithmetic. On sm_80 to sm_100 none of them spills registers.
TILES = {
    "half": [(128, 256, 8, 4), (128, 128, 8, 4), (64, 128, 4, 4), (128, 16, 4, 4)],
    "tf32": [(128, 128, 8, 3), (64, 64, 4, 3), (128, 16, 4, 4)],
    "tf32x3": [(128, 64, 8, 3), (64, 64, 8, 3), (128, 16, 4, 3)],
    "ieee": [(128, 64, 8, 2), (64, 64, 4, 2), (128, 16, 4, 2)],
    "float64": [(64, 64, 8, 2), (32, 32, 4, 2)],
}

# Triton's tuner and its interpreter keep the state of a call in globals. A launch does not wait for the device.
_one_at_a_time = threading.Lock()


@triton.jit(do_not_specialize=["size"])
def product(
    a,
    b,
    c,
    m,
    k,
    n,
    size,
    DEPTH: tl.constexpr,
    PRECISION: tl.constexpr,
    TOP: tl.constexpr,
    LEFT: tl.constexpr,
):
    across = tl.cdiv(n, LEFT)
    i = (tl.program_id(0) // across).to(tl.int64) * TOP + tl.arange(0, TOP)[:, None]
    j = (tl.program_id(0) % across).to(tl.int64) * LEFT + tl.arange(0, LEFT)[None, :]
    wide = tl.float64 if c.dtype.element_ty == tl.float64 else tl.float32
    total = tl.zeros((TOP, LEFT), wide)
    for start in range(0, k, DEPTH):
        along_a = start + tl.arange(0, DEPTH)[None, :]
        along_b = (start + tl.arange(0, DEPTH)[:, None]).to(tl.int64)
        left = tl.load(a + i * k + along_a, mask=(i < m) & (along_a < k), other=0)
        right = tl.load(b + along_b * n + j, mask=(along_b < k) & (j < n), other=0)
        total = tl.dot(left, right, total, input_precision=PRECISION, out_dtype=wide)
    tl.store(c + i * n + j, total.to(c.dtype.element_ty), mask=(i < m) & (j < n))


def tuned(tiles):
    configs = [triton.Config({"TOP": top, "LEFT": left}, warps, stages) for top, left, warps, stages in tiles]
    if INTERPRETED:
        configs = [triton.Config({"TOP": 16, "LEFT": 16})]
    return triton.autotune(configs, key=["size"])(product)


KERNELS = {arithmetic: tuned(tiles) for arithmetic, tiles in TILES.items()}


def multiply(a, b, precision):
    if INTERPRETED and a.dtype is torch.bfloat16:
        return multiply(a.float(), b.float(), precision).to(a.dtype)
    (m, k), n = a.shape, b.shape[1]
    c = a.new_empty((m, n))
    if not c.numel():
        return c
    arithmetic = {torch.float32: precision, torch.float64: "float64"}.get(a.dtype, "half")
    size = (m.bit_length() << 16) + (k.bit_length() << 8) + n.bit_length()
    with _one_at_a_time, torch.cuda.device_of(a):
        KERNELS[arithmetic][lambda tile: (triton.cdiv(m, tile["TOP"]) * triton.cdiv(n, tile["LEFT"]),)](
            a.contiguous(),
            b.contiguous(),
            c,
            m,
            k,
            n,
            size,
            DEPTH=16 if INTERPRETED else DEPTHS[a.dtype],
            PRECISION=precision if a.dtype is torch.float32 else "ieee",
        )
    return c


@register(
    "matmul",
    "triton",
    arrays="torch",
    requires=("triton", "torch"),
    device="cuda",
    dtypes=("float16", "bfloat16", "float32", "float64"),
    precision="wide",
    rank=58,
)
def matmul(a, b):
    return multiply(a, b, "ieee")


@register("matmul", "triton_tf32", arrays="torch", requires=("triton", "torch"), device="cuda", precision="tf32")
def matmul_tf32(a, b):
    return multiply(a, b, "tf32")


@register(
    "matmul",
    "triton_3xtf32",
    arrays="torch",
    requires=("triton", "torch"),
    device="cuda",
    precision="3xtf32",
)
def matmul_3xtf32(a, b):
    return multiply(a, b, "tf32x3")
