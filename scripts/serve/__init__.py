"""Run a profile's image here, with the API of RunPod's SDK on localhost."""
