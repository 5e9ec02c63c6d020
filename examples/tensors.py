"""The same call on NumPy arrays, tensors and batches, and why a variant was chosen."""

import numpy as np

from registry import explain, get, variants

matmul = get("matmul")
a, b = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
print("NumPy:", type(matmul(a, b)).__name__, matmul(a, b).shape)
print("a batch and a vector:", matmul(np.ones((5, 2, 3)), np.ones(3)).shape)
if all(v.available for v in variants("matmul") if v.name == "torch"):
    import torch

    print("torch:", matmul(torch.asarray(a), torch.asarray(b)).dtype)
print(explain("matmul", a, b))
