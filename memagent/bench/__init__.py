"""What `memagent bench NAME` runs: one measurement a file, its correctness check inside."""
