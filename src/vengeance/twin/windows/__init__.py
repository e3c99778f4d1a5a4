"""The twin's Windows: programs, registry, services, tasks and files, with a state that is kept on disk."""
