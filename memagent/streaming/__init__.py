"""Long history inside one model: paged keys and values, selectors, positions, the binding."""
