"""Position → row and back: permutations, shuffles and mixtures in closed form."""
