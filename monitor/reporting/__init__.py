"""What Results become: metrics, log lines and the status line."""
