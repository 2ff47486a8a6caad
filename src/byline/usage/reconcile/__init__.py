"""Holds the ledger against the provider's own figures, by day and model.

`reports` reads what a provider says, `admin_api` asks it, `books` reads the ledger, `comparison` puts
the two side by side and names what their difference most likely comes from.
"""
