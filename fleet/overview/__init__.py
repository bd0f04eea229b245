"""What the console's pages show, gathered from the other slices by read-only queries."""
