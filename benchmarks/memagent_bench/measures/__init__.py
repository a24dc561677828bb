"""The measures that `memagent bench` runs, one module or package each."""
