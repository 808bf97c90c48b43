"""Tests of the files of a release: SBOM, licenses, checksums and signature."""
