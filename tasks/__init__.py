"""Thin Prefect tasks: open, read, compute with `tasks.ops`, write."""
