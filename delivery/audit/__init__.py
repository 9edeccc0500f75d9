"""The audit log: who did what to accounts and access, in a chain that shows when somebody rewrote it."""
