"""The service that is installed on this machine: its units, its secret files, the environments that it monitors."""
