"""The TIGR Registry Client API: its two requests, the meaning of their responses, and what to do about failures."""
