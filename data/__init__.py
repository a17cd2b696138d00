"""What the program knows: configuration, schemas, prompts, presets, benchmarks, the tiny model's recipe."""
