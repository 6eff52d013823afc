"""The services. They never import or call each other: each hears the others through the log."""
