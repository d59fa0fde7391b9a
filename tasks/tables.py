"""Tables that people give: CSV with a header."""

import csv
import io

from storage.files import read_bytes


def read_table(url: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows by column name, empty cells where a row is short.

    Args:
        columns: that there must be; others are kept.

    Raises:
        ValueError: no UTF-8, no CSV, other columns, a row with more values than columns, or none.
    """
    try:
        reader = csv.DictReader(io.StringIO(read_bytes(url).decode("utf-8-sig")), restval="")
        header = list(reader.fieldnames or ())
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{url}: expected a CSV table in UTF-8 ({error})") from error
    if not set(columns) <= set(header):
        raise ValueError(
            f"{url}: expected the columns {','.join(columns)}; got {','.join(header) or 'nothing'}"
        )
    if not rows:
        raise ValueError(f"{url}: no rows below the header")
    for number, row in enumerate(rows, start=1):
        if None in row:
            raise ValueError(
                f"{url}, row {number}: expected {len(header)} values, {','.join(header)}; "
                f"got {len(header) + len(row[None])}"
            )
    return rows
