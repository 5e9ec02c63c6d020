"""What an operation is: its signature and definition, and the readings of them: reference, bound, work, examples."""
