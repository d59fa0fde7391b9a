"""One module a benchmark family: its official layout, checked, and its scores."""
