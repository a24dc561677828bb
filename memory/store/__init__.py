"""The SQLite store, one table or concern a file."""
