"""An answer as text becomes a value with a key."""
