"""The TIGR Registry Client API: its two requests, the meaning of the responses, and the remedies for failures."""
