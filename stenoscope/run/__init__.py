"""How a run works: its files, folders, processes and terminal."""
