"""A copying daemon: queue on disk, copying threads, a socket. The emulator and `local` are it."""
