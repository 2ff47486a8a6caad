"""Who may call and whom to ask: keys, actors, jobs and their owners, in one SQLite file.

Read by every gateway worker, changed by the command line. It holds no usage and no provider secrets.
"""
