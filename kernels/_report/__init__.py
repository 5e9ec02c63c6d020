"""A page of what was measured on this machine: one file of HTML that stands alone and asks nobody for anything."""

from kernels._report.page import page

__all__ = ["page"]
