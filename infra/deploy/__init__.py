"""What a deployment needs beside the code: pools, limits, the automation, and a local set-up of all of it."""
