"""From the cells of claims to rows on disk: tasks, worker processes, progress, clusters."""
