"""The daemon: start, reload, stop, and the supervisor that connects monitoring with reporting."""
