"""For kernel authors: vectors, threads, compiling with a cache, CUDA."""
