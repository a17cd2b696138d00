"""The tiny model of the embedded default: its task, its tokenizer and how it is pre-trained in place."""
