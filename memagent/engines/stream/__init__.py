"""The in-process engine: a Transformers model over the paged KV memory."""
