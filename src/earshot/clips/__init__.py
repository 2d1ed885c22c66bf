"""The table of labelled clips: how it is split, cached as features, and read back."""
