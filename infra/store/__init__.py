"""The store: a folder, memory or S3, with leases."""
