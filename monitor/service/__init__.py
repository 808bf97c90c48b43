"""The daemon: start, reload, stop, and the objects that it joins."""
