"""One flow a file: a story of verbs. Nothing here computes."""
