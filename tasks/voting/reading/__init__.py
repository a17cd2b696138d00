r"""Reading an answer: text to tokens to a tree to a key.

**The invariant.** A key encodes every token of its answer, or the answer is not read.

- `tokens_of` puts every character but blanks into a token, and the parser fails unless it consumes all.
- A reading (`forms.read`) is one of four types. `Read` holds keys of trees that were parsed from all the
  tokens. `Unread` holds the spelling and equals nothing but that spelling. `Pending` is a tree whose value
  only the algebra system can tell, and becomes `Read` or `Unread`. `Refused` was too long or too deep.
- The algebra system is handed that tree, never the text, and hands back a tree: it cannot skip a part.
- A value that cannot be computed raises `Uncomputed`. No key has a hole, and no None is ever compared.
- An expression with symbols has only a bucket: equal buckets are a reason to look closer. Two of them are
  equal once enough sample points, drawn from the content of the pair, give both the same value.

The name and the unit of a value are optional: an answer that states neither does not contradict one that
does. They are compared wherever both answers state them.
"""
