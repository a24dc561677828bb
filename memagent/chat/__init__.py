"""The conversation of `memagent chat`: reading turns, answering them, slash commands."""
