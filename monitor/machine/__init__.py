"""The machine on which the monitor runs: its limits, the files that settings name, and its trust anchors."""
