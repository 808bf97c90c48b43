"""Tests of the Kubernetes manifests against published schemas."""
