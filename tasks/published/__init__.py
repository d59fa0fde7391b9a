"""What papers did: named, pinned settings with the numbers that they led to, by capability."""
