"""What every command shares: workspace.toml as typed records, paths, exit codes, the terminal."""
