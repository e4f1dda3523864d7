"""The GPU side: models, tasks, sparsifiers, and the collection of per-item outcomes. The only home of torch."""
