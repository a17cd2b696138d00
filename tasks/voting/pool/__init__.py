"""Worker processes that can be killed, and the algebra that runs in them."""
