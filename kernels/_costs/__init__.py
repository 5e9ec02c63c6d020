"""What variants cost: measurements of them, and the model that is fitted to these."""
