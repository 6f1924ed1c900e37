"""What is done with many vectors: search, maps, clusters, features."""
