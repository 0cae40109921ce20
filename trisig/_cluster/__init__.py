"""What a master does as a node of a cluster."""
