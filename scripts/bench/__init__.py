"""`bench`: measures the built image, keeps the raw samples and says what can be believed."""
