"""What `memagent bench kernels` measures, one question a file."""
