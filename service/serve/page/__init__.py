"""The status page at ``/``: its files, and the one answer that it draws."""
