"""Who is calling, and who and what the call is for. Decides on headers alone; forwards nothing itself."""
