"""The measurements of `memagent bench kernels`, one per file."""
