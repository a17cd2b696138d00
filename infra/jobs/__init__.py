"""Device jobs: work that owns a GPU or all cores, in a process of its own and perhaps another Python."""
