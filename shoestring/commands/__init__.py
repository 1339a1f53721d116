"""Commands of the command line that have a file of their own: they parse, call and print, and nothing else."""
