"""The authority's files: keys and certificates of the two intermediates, and the roots that are kept elsewhere."""
