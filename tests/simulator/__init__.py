"""The tests of the simulator, and the peers that only tests need."""
