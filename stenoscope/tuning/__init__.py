"""The search for better settings: `space` says what may vary, `search` runs it, `template` writes YAML."""
