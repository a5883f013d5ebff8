"""Suite `replay`: past locks from the cutoff alone, and what each bump would have had to pull."""
