"""What touches the world: the store, the samplers and the trainers, each behind one small protocol."""
