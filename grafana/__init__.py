"""The Grafana dashboard, made by a script so that its queries follow the code. No part of the installed program."""
