"""The Kubernetes manifests, and the script that generates two of them. Not part of the installed program."""
