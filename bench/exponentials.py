"""A loop of nothing but 2^x, which shows how many exponentials a second a device's special-function units give at most."""

from numba import cuda, float32

from kernels._compute import cuda as _cuda

CHAINS = 4  # of each thread, which do not wait for each other
FIXED_POINT = 0.6411857445049859  # where x = 2^-x


@cuda.jit
def chains(last, count):
    """Repeat x -> 2^-x, which settles at FIXED_POINT, so that nothing under- or overflows."""
    thread = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    a = float32(thread % 8)
    b, c, d = a + float32(1), a + float32(2), a + float32(3)
    for _ in range(count):
        a = _cuda.exp2(-a)
        b = _cuda.exp2(-b)
        c = _cuda.exp2(-c)
        d = _cuda.exp2(-d)
    last[thread] = a + b + c + d
