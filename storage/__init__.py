"""Images in, descriptors and results out, on any fsspec URL."""
