"""The status page: the state of all environments as HTML, with its templates, stylesheet and script."""
