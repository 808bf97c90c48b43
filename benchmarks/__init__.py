"""What the monitor costs and how well it measures: commands to run by hand, not tests."""
