"""What a store holds, in a page of text."""

from storage.descriptors import DescriptorStore

_SHOWN = 10


def describe_store(url: str) -> str:
    """A page about the store at `url`: images, grids, arrays, bytes, provenance, failures."""
    store = DescriptorStore.open(url)
    index = store.index()
    partitions = store.partitions()
    grids = sorted({p.grid for p in partitions})
    lines = [
        f"store       {url}",
        f"images      {len(index)}",
        f"partitions  {len(partitions)}",
        f"grids       {_list([f'{rows}x{cols}' for rows, cols in grids])}",
    ]
    arrays = {spec.name: spec.dtype for p in partitions for spec in p.arrays}
    lines += [f"array       {name} ({dtype})" for name, dtype in sorted(arrays.items())]
    lines.append(f"size        {_bytes(store)}")
    lines += [f"weights     {store.info.weights['name']}"]
    lines += [f"sha256      {store.info.weights['sha256']}"]
    shown = {k: v for k, v in store.info.config.items() if v not in (None, [], False)}
    lines += [f"config      {name} = {value}" for name, value in shown.items() if name != "weights"]
    failures = index.failures
    lines.append(f"failures    {len(failures)}")
    lines += [f"  {mark.name}: {mark.reason}" for mark in failures[:_SHOWN]]
    if len(failures) > _SHOWN:
        lines.append(f"  ... and {len(failures) - _SHOWN} more")
    return "\n".join(lines)


def _list(items: list[str]) -> str:
    more = f", ... ({len(items)} in all)" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more if items else "none"


def _bytes(store: DescriptorStore) -> str:
    """Of the arrays, as stored."""
    import numpy as np

    total = 0
    for partition in store.partitions():
        for spec in partition.arrays:
            one = int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize
            total += one * partition.count
    for unit in ("B", "kB", "MB", "GB"):
        if total < 1000:
            return f"{total:.4g} {unit}"
        total /= 1000  # type: ignore[assignment]
    return f"{total:.4g} TB"
