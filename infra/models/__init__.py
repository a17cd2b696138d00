"""Model directories: checked, unpacked, verified and cached."""
