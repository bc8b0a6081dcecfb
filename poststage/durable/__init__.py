"""What survives a crash: single filesystem operations, journals, small files, locks."""
