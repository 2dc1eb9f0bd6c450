"""What the run screen shows of a run beside its tree, a tab each."""
