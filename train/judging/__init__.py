"""How good a run is: losses, matches, distances between painted and real pictures, and copies."""
