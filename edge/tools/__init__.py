"""Tools of the technician on site: they need no running agent, no root, and store nothing."""
