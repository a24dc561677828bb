"""The interactive chat: terminal input, slash commands, interrupts."""
