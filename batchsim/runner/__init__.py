"""Many lines through any Backend: an input file in, one record per line in input order out."""
