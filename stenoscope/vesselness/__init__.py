"""Filters that bring out vessels. Arrays in, arrays out: nothing here knows of files or clips' labels."""
