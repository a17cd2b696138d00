"""Decoding with transformers: the batched loop, its key-value cache, and how tokens are drawn."""
