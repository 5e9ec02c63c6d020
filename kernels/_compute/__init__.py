"""For kernel authors: vectors, points and tiles in registers, parallel loops, compiling with a cache, CUDA."""
