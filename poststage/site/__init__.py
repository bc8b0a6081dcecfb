"""For a site's admin: configurations to start from, hooks to register, and checks."""
