"""Every file decoded and judged before anything is computed from it."""
