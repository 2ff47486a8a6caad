"""What usage costs: dated price lists, looked up once per model and day, charged as exact decimals.

`book.PriceBook` is the way in. Only `catalogue` knows the library that the prices come from.
"""
