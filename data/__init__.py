"""What the program knows: configuration, schemas, presets, domains, benchmarks, the tiny model's recipe."""
