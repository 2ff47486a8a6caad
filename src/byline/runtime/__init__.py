"""The client runtime: what runs inside other people's programs.

Nothing here may raise into its host, block it, or start a thread before there is work for one. The
public names are those of `byline` itself.
"""
